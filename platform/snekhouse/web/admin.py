"""The admin API: the state of the runtimes, probing a runtime again, and reloading the registry."""

from http import HTTPStatus

import anyio.to_thread
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route, Router

from snekhouse.service import Reloader, RuntimeState, Service
from snekhouse.web.admin_schemas import AdminRuntimeDetail, AdminRuntimesOut, ReloadOut
from snekhouse.web.admin_token import AdminTokenCheck
from snekhouse.web.answer import json_answer
from snekhouse.web.schemas import ErrorOut


class AdminRuntimes(HTTPEndpoint):
    """``/admin/runtimes``."""

    async def get(self, request: Request) -> Response:
        """List the runtimes with their settings and their state."""
        service, reloader = _state(request)
        return json_answer(await anyio.to_thread.run_sync(AdminRuntimesOut.of, service, reloader))


class AdminRuntime(HTTPEndpoint):
    """``/admin/runtimes/{runtime}``."""

    async def get(self, request: Request) -> Response:
        """Show one runtime, with its rendered profile."""
        service, _ = _state(request)
        return await _detail(service, service.runtimes[service.registry.resolve(request.path_params["runtime"]).name])


class AdminProbe(HTTPEndpoint):
    """``/admin/runtimes/{runtime}/probe``."""

    async def post(self, request: Request) -> Response:
        """Probe a runtime again, and serve its interpreter as it is now."""
        service, reloader = _state(request)
        renewed = await service.renew(request.path_params["runtime"])
        reloader.tell_others(renewed.runtime.name)
        return await _detail(service, renewed)


class AdminReload(HTTPEndpoint):
    """``/admin/reload``."""

    async def post(self, request: Request) -> Response:
        """Reload the registry's file."""
        _, reloader = _state(request)
        done = await reloader.reload()
        reloader.tell_others("")
        if done.error:
            refusal = ErrorOut(title=_UNPROCESSABLE.phrase, description=done.error)  # operators need every line
            return Response(refusal.model_dump_json(), _UNPROCESSABLE, media_type="application/json")
        return json_answer(ReloadOut.model_validate(done))


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
        token: The token that requests must have; None to switch the API off.
    """
    router = Router(ROUTES, redirect_slashes=False)
    return Mount("/admin", router, middleware=[Middleware(AdminTokenCheck, token=token)])


def _state(request: Request) -> tuple[Service, Reloader]:
    return request.app.state.service, request.app.state.reloader


async def _detail(service: Service, ready: RuntimeState) -> Response:
    return json_answer(await anyio.to_thread.run_sync(AdminRuntimeDetail.of_state, ready, service))
