"""The routes, which convert requests to jobs and results to responses."""

from functools import partial

import anyio.to_thread
from prometheus_client.exposition import choose_encoder
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from snekhouse.errors import RequestError
from snekhouse.evaluation import Result
from snekhouse.registry.models import Registry, Runtime
from snekhouse.web.answer import FixedAnswer, answer, eval_pieces, json_answer
from snekhouse.web.api_pages import Asset, Description, Page
from snekhouse.web.app_state import service_of
from snekhouse.web.body import read_request
from snekhouse.web.connection import while_connected
from snekhouse.web.eval_request import EvalRequest
from snekhouse.web.memory_budget import reservation_of
from snekhouse.web.output_events import OutputEvents, without_output
from snekhouse.web.pages import page, wants_page
from snekhouse.web.schemas import EvalResponse, IndexOut, RuntimesOut
from snekhouse.web.streaming import Events, StreamedAnswer, wanted_format


class Index(HTTPEndpoint):
    """``/``."""

    async def get(self, request: Request) -> Response:
        """Show the page to browsers; otherwise the name and version of the server, and its main routes."""
        if wants_page(request.headers, service_of(request).registry.server):
            return page("index.html")
        return json_answer(IndexOut(), {"Vary": "Accept"})


class Evaluation(HTTPEndpoint):
    """``/eval`` and ``/eval/{runtime}``."""

    async def post(self, request: Request) -> Response:
        """Evaluate a program."""
        service = service_of(request)
        named = request.path_params.get("runtime")
        if named:
            service.registry.resolve(named)  # refuse an unknown runtime before its body arrives
        body = await read_request(request, int(service.registry.server.max_request), EvalRequest)
        runtime = service.registry.resolve(named) if named else chosen_runtime(service.registry, body)
        job = body.to_job(runtime)
        reservation_of(request.scope).hold(job.size)

        def respond(result: Result) -> EvalResponse:
            return EvalResponse.of(runtime.name, job.limits, service.enforcement, result, with_value=body.result)

        async def stream(events: Events) -> None:
            output = OutputEvents(events, job.encoding)
            result = await output.follow(job, partial(service.evaluate, runtime), lambda found: found)
            reservation_of(request.scope).hold(2 * result.size)
            await events.send("end", eval_pieces(respond(without_output(result, job.encoding))))

        if kind := wanted_format(request):
            return StreamedAnswer(request, kind, stream)
        result = await while_connected(request, lambda: service.evaluate(runtime, job))
        reservation_of(request.scope).hold(result.size)
        return answer(respond(result))

    async def options(self, _request: Request) -> Response:
        """List the allowed methods."""
        return Response(headers={"Allow": ", ".join(self._allowed_methods)})


class Runtimes(HTTPEndpoint):
    """``/runtimes``."""

    async def get(self, request: Request) -> Response:
        """List the runtimes."""
        service = service_of(request)
        found = await anyio.to_thread.run_sync(RuntimesOut.of, service)
        return FixedAnswer(found.model_dump_json(), media_type="application/json")


class Liveness(HTTPEndpoint):
    """``/healthz``."""

    async def get(self, _request: Request) -> Response:
        """Answer 200."""
        return PlainTextResponse("ok\n")


class Readiness(HTTPEndpoint):
    """``/readyz``."""

    async def get(self, request: Request) -> Response:
        """Answer 200 if the default runtime can evaluate, otherwise 503."""
        service_of(request).require_ready()
        return PlainTextResponse("ready\n")


class MetricsPage(HTTPEndpoint):
    """``/metrics``."""

    async def get(self, request: Request) -> Response:
        """Return the metrics."""
        service = service_of(request)
        runtimes = {name: ready.probe is not None for name, ready in service.runtimes.items()}
        gathered = service.metrics.collect(runtimes=runtimes, digest=service.registry.digest)
        encode, media_type = choose_encoder(_format(request.headers.get("accept", "")))
        return FixedAnswer(await anyio.to_thread.run_sync(encode, gathered), media_type=media_type)


ROUTES = (
    Route("/", Index),
    Route("/eval", Evaluation),
    Route("/eval/{runtime}", Evaluation),
    Route("/runtimes", Runtimes),
    Route("/healthz", Liveness),
    Route("/readyz", Readiness),
    Route("/metrics", MetricsPage),
    Route("/openapi.json", Description),
    Route("/docs", Page),
    Route("/docs/{asset}", Asset),
)


_OPEN_METRICS = "application/openmetrics-text"


def _format(accept: str) -> str:
    """Choose the format of metrics by the media types in the header, without their parameters.

    The library fails on some parameters, and copies others into the answer's Content-Type.

    Args:
        accept: The Accept header of the request.

    Returns:
        An Accept header for OpenMetrics, or an empty one for Prometheus' text format.
    """
    kinds = {kind.partition(";")[0].strip().lower() for kind in accept.split(",")}
    return _OPEN_METRICS if _OPEN_METRICS in kinds else ""


_MAX_PATH_LENGTH = 200
"""Characters of an unknown path that a message repeats."""


def chosen_runtime(registry: Registry, body: EvalRequest) -> Runtime:
    """Return the runtime that a body names, or the default.

    Raises:
        RequestError: No runtime has the executable that it names.
        RuntimeUnknownError: There is no runtime by the name.
    """
    if body.executable_path:
        found = registry.by_executable(body.executable_path)
        if found is None:
            known, sent = ", ".join(registry.runtimes), body.executable_path[:_MAX_PATH_LENGTH]
            raise RequestError(
                f"no runtime has the executable {sent!r}; known: {known}", title="executable_path does not exist"
            )
        return found
    return registry.resolve(body.runtime or registry.default)
