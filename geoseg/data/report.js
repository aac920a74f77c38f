(function () {
  "use strict";
  var stage = document.getElementById("stage");
  if (!stage) { return; }
  var swipe = document.getElementById("swipe"), over = document.getElementById("over"), line = document.getElementById("line");
  var pans = stage.querySelectorAll(".pan"), images = over.querySelectorAll("img");
  var scale = 1, x = 0, y = 0, most = 1, held = new Map(), spread = 0;

  function fit() {
    var picture = over.querySelector("img:not([hidden])");
    most = Math.max(4, 8 * (picture.naturalWidth || 1) / Math.max(1, stage.clientWidth));
  }
  function draw() {
    scale = Math.min(most, Math.max(1, scale));
    x = Math.min(0, Math.max(stage.clientWidth * (1 - scale), x));
    y = Math.min(0, Math.max(stage.clientHeight * (1 - scale), y));
    pans.forEach(function (pan) { pan.style.transform = "translate(" + x + "px," + y + "px) scale(" + scale + ")"; });
    stage.classList.toggle("zoomed", scale > 1);
    stage.classList.toggle("near", scale > most / 4);
  }
  function zoom(factor, cx, cy) {
    var before = scale;
    scale = Math.min(most, Math.max(1, scale * factor));
    x = cx - (cx - x) * scale / before;
    y = cy - (cy - y) * scale / before;
    draw();
  }
  function middle(factor) { zoom(factor, stage.clientWidth / 2, stage.clientHeight / 2); }
  function whole() { scale = 1; x = 0; y = 0; draw(); }

  if (swipe) {
    var slide = function () {
      over.style.clipPath = "inset(0 0 0 " + swipe.value + "%)";
      line.style.left = swipe.value + "%";
      swipe.setAttribute("aria-valuetext", swipe.value + " % scene, " + (100 - swipe.value) + " % result");
    };
    swipe.addEventListener("input", slide);
    slide();
  }
  function show(key) {
    images.forEach(function (image) { image.hidden = image.dataset.view !== key; });
    document.querySelectorAll("[data-legend]").forEach(function (list) { list.hidden = list.dataset.legend !== key; });
  }
  document.querySelectorAll("input[name=view]").forEach(function (radio) {
    radio.addEventListener("change", function () { show(radio.value); });
    if (radio.checked) { show(radio.value); }
  });
  document.getElementById("in").addEventListener("click", function () { middle(1.6); });
  document.getElementById("out").addEventListener("click", function () { middle(1 / 1.6); });
  document.getElementById("fit").addEventListener("click", whole);

  stage.addEventListener("wheel", function (event) {
    var into = event.deltaY < 0;
    if (!into && scale === 1) { return; }  // the page scrolls on
    event.preventDefault();
    var box = stage.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  stage.addEventListener("keydown", function (event) {
    var step = stage.clientWidth / 8, moves = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
    if (event.ctrlKey || event.metaKey || event.altKey) { return; }
    if (event.key === "+" || event.key === "=") { middle(1.6); }
    else if (event.key === "-") { middle(1 / 1.6); }
    else if (event.key === "0") { whole(); }
    else if (moves[event.key] && scale > 1) { x += moves[event.key][0]; y += moves[event.key][1]; draw(); }
    else { return; }
    event.preventDefault();
  });

  function distance() {
    var points = Array.from(held.values());
    return points.length < 2 ? 0 : Math.hypot(points[0].x - points[1].x, points[0].y - points[1].y);
  }
  stage.addEventListener("pointerdown", function (event) {
    stage.setPointerCapture(event.pointerId);
    held.set(event.pointerId, { x: event.clientX, y: event.clientY });
    spread = distance();
    stage.classList.add("held");
  });
  stage.addEventListener("pointermove", function (event) {
    var last = held.get(event.pointerId);
    if (!last) { return; }
    var now = { x: event.clientX, y: event.clientY };
    held.set(event.pointerId, now);
    x += (now.x - last.x) / held.size;
    y += (now.y - last.y) / held.size;
    var wide = distance();
    if (spread && wide) {
      var box = stage.getBoundingClientRect(), points = Array.from(held.values());
      zoom(wide / spread, (points[0].x + points[1].x) / 2 - box.left, (points[0].y + points[1].y) / 2 - box.top);
    } else { draw(); }
    spread = wide;
  });
  function release(event) {
    held.delete(event.pointerId);
    spread = distance();
    stage.classList.toggle("held", held.size > 0);
  }
  stage.addEventListener("pointerup", release);
  stage.addEventListener("pointercancel", release);
  window.addEventListener("resize", function () { fit(); draw(); });
  window.addEventListener("load", function () { fit(); draw(); });
  fit();
  draw();
}());
