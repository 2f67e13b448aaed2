"""What is found in a setting: made in the machine, and read around it."""

from dataclasses import dataclass, field


@dataclass
class Found:
    """What was found in one setting.

    Attributes:
        slowness: How many times longer an interpreter takes to start in the machine than around it.
        walls: What ``snekhouse doctor`` says of each wall: whether it stands, and the detail.
        refused: Whether a server that must not serve has ended by itself.
        notes: What the setting's own commands say, by title.
        usage: What programs use by their answers, by program: MiB of memory and seconds of CPU.
        evaluation_ms: How long one evaluation takes, forked.
        evaluations: How three evaluations ended, the last of them forked.
        hogs: How guests that use more memory than they may ended: how many there were of each status.
        hog_seconds: How long all of them took, two at a time.
        survived: Whether the server that was there before those guests was there after them.
        tests: The last line of the project's tests, for each way to start.
        drained: Whether an evaluation under way was answered when the server was stopped.
        left_by_stop: What was left when the server had been stopped.
        left_by_kill: What was left of a killed server when the next one had started.
        failure: What ended the setting early.
        log: The end of the server's log.
        seconds: How long the setting took.
    """

    slowness: float
    walls: dict[str, tuple[bool, str]] = field(default_factory=dict)
    refused: bool | None = None
    notes: dict[str, str] = field(default_factory=dict)
    usage: dict[str, tuple[float, float]] = field(default_factory=dict)
    evaluation_ms: float | None = None
    evaluations: list[str] = field(default_factory=list)
    hogs: dict[str, int] = field(default_factory=dict)
    hog_seconds: float = 0
    survived: bool | None = None
    tests: dict[str, str] = field(default_factory=dict)
    drained: bool | None = None
    left_by_stop: list[str] = field(default_factory=list)
    left_by_kill: list[str] = field(default_factory=list)
    failure: str = ""
    log: str = ""
    seconds: float = 0
