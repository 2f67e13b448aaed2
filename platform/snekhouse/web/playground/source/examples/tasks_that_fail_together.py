# Tasks that fail together
# 3.7 added asyncio.run(). 3.11 added task groups, which collect all failures.
# The output changes in 3.7, 3.11.

import asyncio

async def fail(reason):
    raise ValueError(reason)

async def main():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fail("one"))
        tasks.create_task(fail("two"))

try:
    asyncio.run(main())
except Exception as error:
    print(type(error).__name__, getattr(error, "exceptions", error))
