"""The fields of log events on evaluations: sizes, and no content."""

from snekhouse.evaluation import Job, Result
from snekhouse.registry.models import Runtime


def job_fields(runtime: Runtime, job: Job) -> dict[str, object]:
    """Return the fields of a job."""
    return {
        "runtime": runtime.name,
        "args_size": sum(map(len, job.args)),
        "stdin_size": len(job.stdin),
        "files_in": len(job.files),
        "files_in_size": sum(len(file.content) for file in job.files),
    }


def result_fields(result: Result) -> dict[str, object]:
    """Return the fields of a result."""
    return {
        "status": result.status.value,
        "returncode": result.returncode,
        "wall_time": round(result.usage.wall_time, 6),
        "cpu_time": round(result.usage.cpu_time, 6),
        "queue_time": round(result.usage.queue_time, 6),
        "memory": result.usage.memory,
        "output_size": len(result.stdout) + len(result.stderr or ""),
        "files_out": len(result.files),
        "files_out_size": sum(len(file.content) for file in result.files),
    }
