"""Random cells, kills and branches of a session, compared with a model that says what must be there."""

from typing import Any, ClassVar

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from serving import SLOWNESS, Server
from sessions.conftest import Session, open_session

_NAMES = st.sampled_from(["a", "b", "c"])
_VALUES = st.integers(0, 9)
_DEATHS = st.sampled_from(
    [
        "while True: pass",
        "import os; os._exit(3)",
        "import os; os.kill(os.getpid(), 11)",
        "import os; os.close(3)",
        "import os\nif os.fork() == 0:\n    while True: pass\nwhile True: pass",
    ]
)
_SNAPSHOT = "({n: v for n, v in globals().items() if n in 'abc'}, {p: open(p).read() for p in sorted(__import__('os').listdir('.'))})"


class Model(dict[str, int]):
    """What the state of one session must have: names and values, and how many cells it contains."""

    cells = 0


class Sessions(RuleBasedStateMachine):
    """Sessions of one server, and what each must have."""

    client: ClassVar[httpx.Client]
    sessions = Bundle("sessions")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[Session] = []
        self.models: dict[str, Model] = {}
        self.files: dict[str, str] = {}  # the branches of one session share them

    @initialize(target=sessions)
    def begin(self) -> Session:
        return self._add(open_session(self.client), Model())

    def _add(self, session: Session, model: Model) -> Session:
        self.open.append(session)
        self.models[session.id] = model
        return session

    def _kept(self, session: Session, answer: dict[str, Any]) -> None:
        assert answer["state"] == "kept", answer
        self.models[session.id].cells += 1
        assert answer["execution_count"] == self.models[session.id].cells

    @rule(session=sessions, name=_NAMES, value=_VALUES)
    def set_a_name(self, session: Session, name: str, value: int) -> None:
        self._kept(session, session.run(f"{name} = {value}"))
        self.models[session.id][name] = value

    @rule(session=sessions, name=_NAMES)
    def delete_a_name(self, session: Session, name: str) -> None:
        answer = session.run(f"del {name}")
        self._kept(session, answer)
        assert (answer["status"] == "ok") == (name in self.models[session.id])
        self.models[session.id].pop(name, None)

    @rule(session=sessions, name=_NAMES, value=_VALUES)
    def fail_after_a_change(self, session: Session, name: str, value: int) -> None:
        answer = session.run(f"{name} = {value}\n1 / 0")
        self._kept(session, answer)
        assert answer["status"] == "error"
        self.models[session.id][name] = value

    @rule(session=sessions, name=_NAMES, value=_VALUES)
    def write_a_file(self, session: Session, name: str, value: int) -> None:
        self._kept(session, session.run(f"with open('{name}', 'w') as f: _n = f.write('{value}')"))
        self.files[name] = str(value)

    @rule(session=sessions, name=_NAMES, value=_VALUES, death=_DEATHS)
    def die_after_a_change(self, session: Session, name: str, value: int, death: str) -> None:
        code = f"{name} = {value}\nwith open('{name}', 'w') as f: _n = f.write('{value}')\n{death}"
        answer = session.run(code, limits={"wall_time": 0.3 * SLOWNESS})
        assert (answer["state"], answer["execution_count"]) == ("rolled_back", self.models[session.id].cells)
        self.files[name] = str(value)

    @precondition(lambda self: len(self.open) < 4)  # each is up to two of the processes that its jail may have
    @rule(target=sessions, session=sessions)
    def branch(self, session: Session) -> Session:
        model = Model(self.models[session.id])
        model.cells = self.models[session.id].cells
        return self._add(session.branch(), model)

    @precondition(lambda self: len(self.open) > 1)
    @rule(session=consumes(sessions))
    def end(self, session: Session) -> None:
        session.end()
        assert session.show().status_code == 410
        self.open.remove(session)

    @rule(session=sessions)
    def look(self, session: Session) -> None:
        answer = session.run(_SNAPSHOT)
        self._kept(session, answer)
        assert answer["result"]["text"] == repr((dict(self.models[session.id]), dict(sorted(self.files.items()))))

    def teardown(self) -> None:
        for session in self.open:
            session.end()


@pytest.mark.timeout(600)
def test_the_state_is_always_what_the_answers_claimed(session_server: Server) -> None:
    class SessionsOfServer(Sessions):
        client = session_server.client

    run_state_machine_as_test(
        SessionsOfServer,
        settings=settings(
            max_examples=8, stateful_step_count=25, suppress_health_check=list(HealthCheck), deadline=None
        ),
    )
