"""One job in this worker's hands, from the claim to its end: a thread, and a child process."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sixfold.core.errors import SixfoldError
from sixfold.core.paths import write_atomic
from sixfold.runs import events
from sixfold.service.client.transport import Transport
from sixfold.service.domain.errors import Conflict, NotFound, ServiceError
from sixfold.service.domain.jobs import Wish
from sixfold.service.worker import plan_answer, tuning_result
from sixfold.service.worker.child import ChildProcess
from sixfold.service.worker.job_folder import JobFolder
from sixfold.service.worker.run_events import EventTail, stages_of
from sixfold.telemetry import logs, traces

TICK_S: Final = 0.1
STOP_S: Final = 20.0  # for a child that is asked to end
MOST_LINES: Final = 500  # events in one request
INTERRUPTED: Final = 130  # `sixfold run`, after Ctrl-C
OUTCOMES: Final = frozenset({"planned", "succeeded", "failed", "released"})
TRIAL_FROM_S: Final = 600.0  # of a run, as counted: trials are a tenth of it at most
TRIAL_BYTES: Final = 2 << 30  # nobody has promised a plan's process any memory: guessed
REFUSED: Final = range(1, 8)  # exit codes of a mistake that trying again does not mend
MEMORY_SLACK: Final = (
    1.5  # of the planned peak, before a child is killed: the plan's own margin is below it
)


@dataclass
class JobRun:
    """`home`: of this worker's jobs. `stop`: the worker ends, its jobs are given back."""

    server: Transport
    worker_id: str
    job: Mapping[str, Any]
    home: Path
    beat_s: float = 1.0
    stop: threading.Event = field(default_factory=threading.Event)
    wish: Wish = Wish.RUN
    lost: bool = False
    interrupted: bool = False  # its child was asked to end
    ended: bool = False  # for good: succeeded or failed
    outcome: str = "lost"  # what the server was told last

    @property
    def promised_bytes(self) -> int:
        """Of memory."""
        needs = self.job["needs"]
        return 0 if needs is None else int(needs["memory_bytes"])

    def work(self) -> None:
        """Plan it, or run it, and tell how it ended. Never raises: what goes wrong here is told as a crash."""
        job, origin, began = self.job, self.job["origin"], time.monotonic()
        facts = {"job_id": job["id"], "attempt": job["attempt"], "tenant": job["tenant_id"]}
        with logs.about(**facts, request_id=origin.get("request_id")), self._span() as span:
            logs.event("job.begun", state=job["state"])
            self._work()
            span.set("sixfold.outcome", self.outcome)
            logs.event("job.ended", outcome=self.outcome, duration_s=time.monotonic() - began)

    def _span(self) -> AbstractContextManager[traces.TraceSpan]:
        """Part of the trace of the request that made the job."""
        verb = "plan" if self.job["state"] == "validating" else "run"
        return traces.span(f"job {verb}", carried=self.job["origin"])

    def _work(self) -> None:
        folder = JobFolder(self.home / self.job["id"])
        try:
            folder.take(self.job["attempt"], self.job["run_tree"])
            folder.fill(self.server, self.job)
            if self.job["state"] == "validating":
                self._plan(folder)
            else:
                self._run(folder)
            if self.ended:
                folder.remove()
        except (Conflict, NotFound):
            self.lost = True  # it is another's by now, or deleted
        except (SixfoldError, OSError, ValueError, LookupError, TypeError) as error:
            self._give_back(True, [*folder.last_lines(), f"{type(error).__name__}: {error}"])

    def _plan(self, folder: JobFolder) -> None:
        code, answer = self._planned(folder, plan_answer.COUNTED)
        if code == 0 and worth_a_trial(json.loads(answer)["plan"], self.job["needs"]):
            tried = self._planned(folder, plan_answer.TRIED)
            answer = tried[1] if tried[0] == 0 else answer  # the run itself tells what is wrong
        if self._ended_early(folder, code):
            return
        if code == 0:
            told = json.loads(answer)
            settings = plan_answer.settings(told)
            self._tell("planned", needs=plan_answer.needs(told["plan"]), settings=settings)
        elif code in REFUSED:
            self._tell("failed", failure=_refusal(answer, folder))
        else:
            self._give_back(True, folder.last_lines())

    def _planned(self, folder: JobFolder, how: str) -> tuple[int, bytes]:
        with tempfile.TemporaryFile() as output:
            child = ChildProcess([*plan_answer.ARGUMENTS, how], folder.inputs, folder.log)
            folder.owned(self.job["attempt"], child.start(output))
            code = self._watch(child, folder)
            output.seek(0)
            return code, output.read()

    def _run(self, folder: JobFolder) -> None:
        memory = int(self.promised_bytes * MEMORY_SLACK) or None
        arguments = ["run", "recipe.yaml", "--out", str(folder.run), "--json", "--quiet"]
        child = ChildProcess(arguments, folder.inputs, folder.log, memory)
        tail = EventTail(folder.run / events.NAME, int(self.job["events_line"]))
        tail.skip(min(tail.line, tail.count()))
        whole, started = not folder.run.exists(), time.monotonic()
        with tempfile.TemporaryFile() as output:
            folder.owned(self.job["attempt"], child.start(output))
            code = self._watch(child, folder, tail)
            output.seek(0)
            answer = output.read()
        self._send_events(folder, tail)
        if child.over_memory:
            self._tell("failed", failure=_over_memory(memory or 0, folder))
        elif self._ended_early(folder, code):
            return
        elif code == 0:
            taken = time.monotonic() - started
            self._succeed(folder, answer, measured_of(child, taken, folder) if whole else None)
        elif code in REFUSED:
            self._tell("failed", failure=_refusal(answer, folder))
        else:
            self._give_back(True, folder.last_lines())

    def _watch(self, child: ChildProcess, folder: JobFolder, tail: EventTail | None = None) -> int:
        """Until it ends; on the way beats, events, and finished stages."""
        asked_at: float | None = None
        next_beat = 0.0
        try:
            while (code := child.poll()) is None:
                now = time.monotonic()
                if now >= next_beat:
                    next_beat = now + self.beat_s
                    self.wish = Wish(self._tell("beat", progress={})["wish"])
                    if tail is not None:
                        self._send_events(folder, tail)
                if asked_at is None and (self.wish is not Wish.RUN or self.stop.is_set()):
                    asked_at, self.interrupted = now, True
                    child.interrupt()
                if asked_at is not None and now - asked_at > STOP_S:
                    child.kill()
                time.sleep(TICK_S)
            return code
        finally:
            child.kill()
            child.process.wait()

    def _ended_early(self, folder: JobFolder, code: int) -> bool:
        """Because it was asked to: given back as it is."""
        if code == 0 or not self.interrupted:
            return False
        self._send_stages(folder)
        self._give_back(False, ())
        self.ended = self.wish is Wish.CANCEL and not self.lost
        return True

    def _send_events(self, folder: JobFolder, tail: EventTail) -> None:
        """What is new in the run's stream; after a finished stage its files, too."""
        while found := tail.read(MOST_LINES):
            self._tell("events", lines=found)
            stages_of(found)
            if any(one["kind"] == "stage_finished" for one in found):
                self._send_stages(folder)

    def _send_stages(self, folder: JobFolder) -> None:
        names = folder.finished_files()
        if names:
            digest, _ = self.server.put_tree(folder.run, names)
            folder.stored(digest)
            self._tell("saved", run_tree=digest)

    def _succeed(
        self, folder: JobFolder, answer: bytes, measured: Mapping[str, Any] | None
    ) -> None:
        done = json.loads(answer)
        bundle = Path(done["bundle"])
        bundle = bundle if bundle.is_absolute() else folder.inputs / bundle
        digest, size = self._put_bundle(bundle)
        result: dict[str, Any] = {"verdict": list(done["verdict"])}
        if self.job["spec"]["kind"] == "fine-tune":
            result |= self._tuned(folder)
        self._tell(
            "succeeded",
            new={
                "tree": digest,
                "bytes": size,
                "receipt": done["receipt"],
                "summary": _summary(bundle),
            },
            result=result,
            measured=measured,
        )

    def _put_bundle(self, bundle: Path) -> tuple[str, int]:
        names = [one.relative_to(bundle).as_posix() for one in bundle.rglob("*") if one.is_file()]
        return self.server.put_tree(bundle, names)

    def _tuned(self, folder: JobFolder) -> dict[str, Any]:
        """What the job of a fine-tuning has besides: see `use_cases.fine_tuning.results`."""
        facts = tuning_result.facts_of(folder.run)
        table = folder.path / "step_metrics.csv"
        write_atomic(table, facts.table())
        kept = []
        for epoch, bundle in tuning_result.checkpoints(folder.run):
            digest, size = self._put_bundle(bundle)
            step, loss = facts.end_of(epoch)
            receipt = json.loads((bundle / "receipt.json").read_bytes())
            new = {"tree": digest, "bytes": size, "receipt": receipt, "summary": _summary(bundle)}
            metrics = {"train_loss": loss, **tuning_result.held_out(receipt)}
            kept.append({"step": step, "metrics": metrics, "new": new})
        digest = self.server.put_file(table)
        return {
            "metrics": {"digest": digest, "bytes": table.stat().st_size},
            "trained_tokens": facts.tokens * facts.epochs or None,
            "checkpoints": kept,
        }

    def _give_back(self, crashed: bool, last_lines: object) -> None:
        try:
            self._tell("released", crashed=crashed, last_lines=list(last_lines))  # type: ignore[call-overload]
        except ServiceError:
            self.lost = True

    def _tell(self, what: str, **facts: Any) -> Any:
        path = f"/api/v1/workers/{self.worker_id}/jobs/{self.job['id']}/{what}"
        answer = self.server.call("POST", path, {"attempt": self.job["attempt"], **facts})
        self.ended = self.ended or what in ("succeeded", "failed")
        self.outcome = what if what in OUTCOMES else self.outcome
        return answer


def worth_a_trial(plan: Mapping[str, Any], known: Mapping[str, Any] | None) -> bool:
    """Whether a plan that counted operations is made again with trials on a few rows: they take about a minute, little beside a
    long run of a small model, and nothing is known of an earlier one. `known`: needs that the server has measured.
    """
    taken, memory = plan["time"], plan["memory"]
    if known is not None or taken is None or memory is None:
        return False
    small = int(memory["bytes"] * memory["error"]) <= TRIAL_BYTES
    return bool(small and taken["seconds"] >= TRIAL_FROM_S)


def measured_of(child: ChildProcess, time_s: float, folder: JobFolder) -> dict[str, Any]:
    """What a whole run took."""
    size = sum(path.stat().st_size for path in folder.run.rglob("*") if path.is_file())
    return {
        "memory_bytes": child.peak_bytes,
        "time_s": time_s,
        "disk_bytes": size,
        "how": "measured",
    }


def _refusal(answer: bytes, folder: JobFolder) -> dict[str, Any]:
    """What the command said of the recipe or the data, else its last lines."""
    lines = folder.last_lines()
    told = plan_answer.problems(answer)
    if told:
        text = "{where}: expected {expected}; found {found}. {remedy}".format(**told[0])
        return {
            "code": "refused",
            "message": text,
            "param": told[0]["where"],
            "last_lines": lines,
        }
    return {"code": "refused", "message": lines[-1] if lines else "no word", "last_lines": lines}


def _over_memory(limit: int, folder: JobFolder) -> dict[str, Any]:
    text = f"The job's processes held more than {limit:,} bytes, half more than planned, and were ended."
    return {"code": "budget", "message": text, "last_lines": folder.last_lines()}


def _summary(bundle: Path) -> dict[str, Any]:
    """What lists show of a bundle, from its own files."""
    signature = json.loads((bundle / "signature.json").read_bytes())
    return {"signature": signature}
