"""The collector as one process: `startup` and `workers` connect the stages.

Example: run a collector until `stop` is set.

    async with run_collector(load_config(file, {})):
        await stop.wait()
"""
