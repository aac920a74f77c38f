"""The parts of ``potsdam.py``: the benchmarks' facts, their colours, the steps, and the record of what is done."""
