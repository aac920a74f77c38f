"""Decides contexts, lattices, tiles and batches of one scene, within the memory there is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from geoseg.choices import PlannedRuntime
from geoseg.errors import PlanError
from geoseg.geometry.lattice import Lattice, round_up
from geoseg.geometry.tiles import TileGrid, make_tiles, make_wide_tiles
from geoseg.geometry.windows import sized
from geoseg.inference.batches import batch_of, most_patches, unaffordable
from geoseg.inference.capacity import Capacity
from geoseg.inference.context_choice import Choice, choose_contexts, distinct, shortage
from geoseg.inference.costs import Need, memory_need
from geoseg.inference.known import Known, seamed
from geoseg.inference.options import PlanOptions
from geoseg.inference.passes import Adaptive, ContextPass, Passes, fit_lattice
from geoseg.inference.seconds import seconds_of
from geoseg.models.batching import BATCH_PIXELS
from geoseg.models.source import ModelSource
from geoseg.raster.recipe import SceneRecipe
from geoseg.raster.scene import SceneInfo

CROP_TILE, BLEND_TILE = 2048, 6144
"""Default core side, pixels. Blending recomputes a tile's rim, so its tiles are larger."""

CONFIDENT = 0.9
"""Mean probability of the winning class from which on an adaptive run leaves a patch as it is."""


class PassPlanner:
    """Contexts, lattices and tiles of one scene.

    Args:
        info: the scene.
        model: the network and what its card says.
        options: what was asked for; the device is a real one.
        capacity: what the smallest worker has.
        halo: pixels for patches of a (height, width), a multiple of the network's.
        runtime: what runs the network.
        known: what probes say.
        share: of the machine that other work leaves, for predicted seconds.
    """

    def __init__(
        self,
        info: SceneInfo,
        model: ModelSource,
        options: PlanOptions,
        *,
        capacity: Capacity,
        halo: Callable[[tuple[int, int]], int],
        runtime: PlannedRuntime,
        known: Known | None = None,
        share: float = 1.0,
    ) -> None:
        self._info, self._model, self._options, self._capacity, self._halo = info, model, options, capacity, halo
        self._runtime, self._known, self._share = runtime, known or Known(), share
        self._kind = options.device.split(":")[0]

    def choose(self) -> Choice:
        """The contexts: the one that was asked for, or the card's best.

        Raises:
            PlanError: if none can be used.
        """
        options = self._options
        if options.patch_size is not None:
            if options.contexts != 1:
                raise PlanError(
                    f"a patch size of {options.patch_size} px is one context, not {options.contexts!r}: leave"
                    " --patch-size to auto, or leave out --contexts"
                )
            self._demand_memory(self._lattice(options.patch_size))
            return Choice(sizes=(options.patch_size,), weights=(1.0,), reason="asked for")
        choice = choose_contexts(
            self._model,
            contexts=options.contexts,
            fuse=options.fuse,
            lattice_of=self._lattice,
            fits=lambda lattice: self._need(lattice).fits(self._capacity),
            rate=self._rate,
        )
        return choice if choice.scored else self._halved(choice)

    def seconds(self, passes: Passes, grid: TileGrid) -> float | None:
        """Predicted wall time; None where nothing is known of the network's arithmetic."""
        return seconds_of(
            passes,
            grid,
            model=self._model,
            info=self._info,
            layers=self._options.layers,
            capacity=self._capacity,
            runtime=self._runtime,
            known=self._known,
            share=self._share,
            threads=self._options.threads,
        )

    def _rate(self, lattice: Lattice) -> float | None:
        """Seconds per pixel by a probe of this machine; batches as they are by default."""
        batch = most_patches(lattice, BATCH_PIXELS[self._kind], device=self._kind)
        return self._known.seconds_per_pixel(lattice.patch, batch)

    def passes(self, choice: Choice, notes: list[str]) -> tuple[Passes, TileGrid]:
        """The contexts with their lattices, and the tiles; adds to ``notes`` what a user should know.

        The lattices are fitted to the default core, not to ``--tile``: tile size may not change a class.

        Raises:
            PlanError: if they need more memory than there is.
        """
        options = self._options
        block = self._block(choice)
        contexts = self._contexts(choice, block)
        short = shortage(options.contexts, len(contexts))
        if short is not None:
            notes.append(short)
        adaptive, grid = None, block
        if options.tile is not None:
            grid = make_tiles(block.lattice, stitch=options.stitch, tile=options.tile)
        if options.contexts == "adaptive":
            adaptive = Adaptive(budget=options.budget, confident=CONFIDENT, block=block.cells)
            down, across = (max(1, round(n / b)) * b for n, b in zip(grid.cells, block.cells, strict=True))
            grid = replace(grid, cells=(down, across))
            notes += unaffordable(contexts, block, budget=options.budget)
        passes = Passes(contexts=contexts, stitch=options.stitch, adaptive=adaptive)
        return self._batched(passes, grid), grid

    def _block(self, choice: Choice) -> TileGrid:
        """The default tiles: about ``CROP_TILE``; with several contexts the cells that make their rims cost least."""
        first = self._lattice(choice.sizes[0], halo=self._common(choice))
        side = max(self._side(), *choice.sizes) if len(choice.sizes) > 1 else self._side()
        best = make_tiles(first, stitch=self._options.stitch, tile=side)
        if len(choice.sizes) == 1:
            return self._widened(best, side=side)
        for axis, count in enumerate((first.rows.count, first.cols.count)):
            middle = best.cells[axis]
            tried = []
            for n in range(max(1, middle // 2), min(count, middle * 3 // 2) + 1):
                grid = replace(best, cells=(n, best.cells[1]) if axis == 0 else (best.cells[0], n))
                passes = Passes(contexts=self._contexts(choice, grid), stitch=self._options.stitch)
                tried.append((passes.computed_pixels(grid), abs(n - middle), n, grid))
            best = min(tried, key=lambda t: t[:3])[3]
        return best

    def _widened(self, square: TileGrid, *, side: int) -> TileGrid:
        """Tiles as wide as the scene, where its file is in strips, no patch is run twice and memory takes them."""
        info = self._info
        striped = isinstance(info.recipe, SceneRecipe) and info.block[1] >= info.native.shape[1] > side
        if not striped or square.stitch != "crop":
            return square
        wide = make_wide_tiles(square.lattice, stitch=square.stitch, tile=side)
        alone = Passes(contexts=(ContextPass(size=1, lattice=square.lattice),), stitch=square.stitch)
        return wide if self._memory(alone, wide).fits(self._capacity) else square

    def _contexts(self, choice: Choice, block: TileGrid) -> tuple[ContextPass, ...]:
        """The contexts with lattices fitted to the block; those that this makes one are one, weights sum to 1."""
        common = block.lattice.rows.halo
        others = [self._lattice(size, core=block.core, halo=common) for size in choice.sizes[1:]]
        lattices = [block.lattice, *others]
        kept = distinct(lattices)
        total = sum(choice.weights[k] for k in kept)
        return tuple(
            ContextPass(size=choice.sizes[k], lattice=lattices[k], weight=choice.weights[k] / total) for k in kept
        )

    def _side(self) -> int:
        return CROP_TILE if self._options.stitch == "crop" else BLEND_TILE

    def _common(self, choice: Choice) -> int | None:
        """The halo of all contexts together, where there are several: the widest that leaves each most of its patch."""
        if len(choice.sizes) == 1:
            return None
        most = min(choice.sizes) // 4 // self._model.rule.multiple * self._model.rule.multiple
        halos = [self._lattice(size).rows.halo for size in choice.sizes]
        return max([halos[0], *(halo for halo in halos if halo <= most)])

    def _lattice(self, size: int, *, core: tuple[int, int] | None = None, halo: int | None = None) -> Lattice:
        """The lattice of a context; unless it is given, the halo is what the fitted patch asks for."""
        shape, rule, exact = self._info.geobox.shape, self._model.rule, self._options.exact
        if halo is not None:
            return fit_lattice(shape, context=size, halo=halo, rule=rule, exact=exact, core=core)
        halo = self._halo((size, size))
        while True:
            lattice = fit_lattice(shape, context=size, halo=halo, rule=rule, exact=exact, core=core)
            needed = self._halo(seamed(lattice, size))
            if needed <= halo:
                return lattice
            halo = needed

    def _need(self, lattice: Lattice) -> Need:
        """What one context alone needs, in default tiles: which context is chosen may not depend on ``--tile``."""
        passes = Passes(contexts=(ContextPass(size=1, lattice=lattice),), stitch=self._options.stitch)
        return self._memory(passes, make_tiles(lattice, stitch=self._options.stitch, tile=self._side()))

    def _memory(self, passes: Passes, grid: TileGrid) -> Need:
        options = self._options
        return memory_need(
            passes,
            grid,
            model=self._model,
            info=self._info,
            layers=options.layers,
            device=options.device,
            runtime=self._runtime,
            threads=options.threads or self._capacity.threads,
            known=self._known,
        )

    def _shortfall(self, need: Need) -> str:
        """The numbers of a plan that does not fit."""
        has = self._capacity
        if has.device != "cpu" and need.device > has.device_to_give:
            return f"{need.device / 1e9:.1f} GB on {has.device}, which has {has.device_to_give / 1e9:.1f} GB to give"
        return f"{need.host / 1e9:.1f} GB, {has.where} has {has.host_to_give / 1e9:.1f} GB to give"

    def _demand_memory(self, lattice: Lattice) -> None:
        need = self._need(lattice)
        if not need.fits(self._capacity):
            raise PlanError(
                f"patches of {sized(lattice.patch)} px need about {self._shortfall(need)}; use a smaller --patch-size"
            )

    def _halved(self, choice: Choice) -> Choice:
        """A default context that memory does not take is halved until it does."""
        wanted = context = choice.sizes[0]
        while not self._need(self._lattice(context)).fits(self._capacity):
            smaller = round_up(context // 2, self._model.rule.multiple)
            if (
                smaller <= 2 * self._halo((smaller, smaller))
                or smaller >= context
                or self._model.rule.refusal(smaller) is not None
            ):
                self._demand_memory(self._lattice(context))
            context = smaller
        if context == wanted:
            return choice
        note = f"context {context} instead of {wanted}: what the memory of {self._capacity.where} takes"
        return replace(choice, sizes=(context,), notes=(*choice.notes, note))

    def _batched(self, passes: Passes, grid: TileGrid) -> Passes:
        """The passes with batches that together make a forward pass worth its while, within memory.

        Raises:
            PlanError: if what was asked for, or one patch at a time, needs more memory than there is.
        """
        options = self._options
        asked = options.batch_size
        first = passes.contexts[0].lattice.patch
        pixels = BATCH_PIXELS[self._kind] if asked is None else asked * first[0] * first[1]
        while True:
            sizes = [
                batch_of(c.lattice, pixels, device=self._kind, asked=asked, known=self._known, runtime=self._runtime)
                for c in passes.contexts
            ]
            found = replace(
                passes,
                contexts=tuple(replace(c, batch_size=n) for c, n in zip(passes.contexts, sizes, strict=True)),
            )
            need = self._memory(found, grid)
            if need.fits(self._capacity):
                return found
            if asked is not None:
                raise PlanError(
                    f"batches of {asked} patches need about {self._shortfall(need)}; use a smaller --batch-size"
                )
            if max(sizes) == 1:
                raise PlanError(
                    f"tiles of {sized(grid.core)} px at {len(sizes)} context{'s' * (len(sizes) > 1)} need"
                    f" about {self._shortfall(need)}; use a smaller --tile or --patch-size, or fewer --contexts"
                )
            pixels //= 2
