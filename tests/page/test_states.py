"""What the page shows while it loads, and when the server is away, busy, or wants a key."""

import json
from pathlib import Path

import httpx
from playwright.sync_api import Page, Route, expect

from page.doing import Open, badge, output, panel, run, show
from serving import running_server


def test_while_the_runtimes_load_a_placeholder_is_shown(opened: Open) -> None:
    page = opened("docs")
    waiting: list[Route] = []
    page.route("**/runtimes", lambda route: waiting.append(route))  # noqa: PLW0108 - Playwright marks the function
    page.goto(page.url.removesuffix("docs"))
    expect(page.get_by_role("status", name="Loading the runtimes")).to_be_visible()
    waiting[0].continue_()
    expect(page.get_by_label("Runtime", exact=True)).to_be_visible()


def test_when_the_server_is_away_the_page_says_so_and_notices_its_return(page: Page) -> None:
    page.context.set_offline(True)
    show(page, "Every version")
    run(page, "print(1)")
    expect(page.locator(".page > .notice")).to_contain_text("The server does not answer.")
    expect(panel(page, "Every version").get_by_role("alert")).to_contain_text("No answer.")
    page.context.set_offline(False)
    expect(page.locator(".page > .notice")).to_have_count(0)
    page.get_by_role("button", name="Try again").click()
    expect(panel(page, "Every version").get_by_role("article").first).to_be_visible()


def test_a_server_that_ends_while_a_program_runs_is_reported(opened: Open, registry_path: Path, tmp_path: Path) -> None:
    with running_server(registry_path, tmp_path / "log") as server:
        page = opened(base=str(server.client.base_url))
        page.locator("main select").wait_for()
        run(page, "print('begun', flush=True)\nimport time; time.sleep(30)")
        expect(output(page)).to_have_text(["begun"])
        server.process.kill()
        expect(panel(page).get_by_role("alert")).to_contain_text(
            "The connection was lost, so the server killed the program."
        )
        expect(output(page)).to_have_text(["begun"])  # nothing is lost


def test_a_busy_server_is_reported_and_can_be_asked_again(page: Page) -> None:
    busy = {"title": "Service Unavailable", "description": "the queue is full"}
    answers = [lambda route: route.fulfill(status=503, headers={"Retry-After": "1"}, json=busy)]
    page.route("**/compare", lambda route: answers.pop()(route) if answers else route.continue_())
    show(page, "Every version")
    run(page, "print(1)")
    expect(panel(page, "Every version").locator(".notice")).to_contain_text("the queue is full")
    expect(page.get_by_role("button", name="Try again in 1 s")).to_be_disabled()
    page.get_by_role("button", name="Try again", exact=True).click()
    expect(panel(page, "Every version").get_by_role("article")).to_have_count(1)


def test_a_full_queue_is_reported_over_the_websocket_too(opened: Open, registry_path: Path, tmp_path: Path) -> None:
    registry = tmp_path / "runtimes.toml"
    registry.write_text(registry_path.read_text().replace("[server]\n", "[server]\nconcurrency = 1\nqueue = 0\n"))
    with running_server(registry, tmp_path / "log") as server:
        base = str(server.client.base_url)
        first, second = opened(base=base), opened(base=base)
        run(first, "print('begun', flush=True)\nimport time; time.sleep(4)")
        expect(output(first)).to_have_text(["begun"])
        run(second, "print(2)")
        expect(panel(second).locator(".notice")).to_contain_text("the queue is full (0 waiting)")


def test_a_gateway_that_wants_a_key_gets_it(page: Page) -> None:
    def check(route: Route) -> None:
        if route.request.headers.get("authorization") == "Bearer the-key":
            route.continue_()
        else:
            route.fulfill(status=401, body="a key, please")

    page.route("**/runtimes", check)
    page.route("**/eval/*", check)
    page.reload()
    expect(page.locator(".page > .notice")).to_contain_text("This server needs a key.")
    page.get_by_label("This server needs a key.").fill("the-key")
    page.get_by_role("button", name="Use key").click()
    expect(page.locator(".page > .notice")).to_have_count(0)
    run(page, "print('with a key')")
    expect(output(page)).to_have_text(["with a key"])
    expect(badge(page)).to_have_text("ok")


def test_without_javascript_the_page_names_the_api(opened: Open) -> None:
    page = opened(java_script_enabled=False)
    expect(page.get_by_role("link", name="HTTP API")).to_be_visible()


def test_page_false_removes_the_pages(registry_path: Path, tmp_path: Path) -> None:
    registry = tmp_path / "runtimes.toml"
    registry.write_text(registry_path.read_text().replace("[server]\n", "[server]\npage = false\n"))
    with running_server(registry, tmp_path / "log") as server:
        browser = {"Accept": "text/html,application/xhtml+xml"}
        assert json.loads(server.client.get("/", headers=browser).text)["name"] == "snekhouse"
        for path in ("/page/app.js", "/page/frame.html", "/admin/"):
            assert server.client.get(path, headers=browser).status_code == httpx.codes.NOT_FOUND
        assert server.client.get("/docs", headers=browser).status_code == httpx.codes.OK
