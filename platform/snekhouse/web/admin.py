"""The admin API: what is served and how it stands, probing a runtime again, and reloading the registry."""

from http import HTTPStatus

import anyio.to_thread
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router

from snekhouse.service import Reloader, RuntimeState, Service
from snekhouse.web.admin_schemas import AdminRuntimeDetail, AdminRuntimesOut, ReloadOut
from snekhouse.web.admin_token import Guarded
from snekhouse.web.answer import json_answer
from snekhouse.web.schemas import ErrorOut


class AdminRuntimes(HTTPEndpoint):
    """``/admin/runtimes``."""

    async def get(self, request: Request) -> Response:
        """List the runtimes, with all that is known of them."""
        service, reloader = _state(request)
        return json_answer(await anyio.to_thread.run_sync(AdminRuntimesOut.of, service, reloader))


class AdminRuntime(HTTPEndpoint):
    """``/admin/runtimes/{runtime}``."""

    async def get(self, request: Request) -> Response:
        """Tell of one runtime, its rendered profile included."""
        service, _ = _state(request)
        return await _tell(service, service.runtimes[service.registry.resolve(request.path_params["runtime"]).name])


class AdminProbe(HTTPEndpoint):
    """``/admin/runtimes/{runtime}/probe``."""

    async def post(self, request: Request) -> Response:
        """Probe a runtime again, and have it evaluate as its interpreter is now."""
        service, reloader = _state(request)
        renewed = await service.renew(request.path_params["runtime"])
        reloader.tell_others()
        return await _tell(service, renewed)


class AdminReload(HTTPEndpoint):
    """``/admin/reload``."""

    async def post(self, request: Request) -> Response:
        """Serve what the registry's file says now."""
        _, reloader = _state(request)
        done = await reloader.reload()
        reloader.tell_others()
        if done.error:
            refusal = ErrorOut(title=_UNPROCESSABLE.phrase, description=done.error)  # whole: operators need every line
            return Response(refusal.model_dump_json(), _UNPROCESSABLE, media_type="application/json")
        return json_answer(ReloadOut.of(done))


_UNPROCESSABLE = HTTPStatus.UNPROCESSABLE_ENTITY

ROUTES = (
    Route("/runtimes", AdminRuntimes),
    Route("/runtimes/{runtime}", AdminRuntime),
    Route("/runtimes/{runtime}/probe", AdminProbe),
    Route("/reload", AdminReload),
)


def mounted(token: str | None) -> Mount:
    """Mount the admin API.

    Args:
        token: What opens it; None where it is off.
    """
    router = Router(ROUTES, redirect_slashes=False)
    return Mount("/admin", router, middleware=[Middleware(Guarded, token=token)])


def _state(request: Request) -> tuple[Service, Reloader]:
    return request.app.state.service, request.app.state.reloader


async def _tell(service: Service, ready: RuntimeState) -> Response:
    return json_answer(await anyio.to_thread.run_sync(AdminRuntimeDetail.told, ready, service))
