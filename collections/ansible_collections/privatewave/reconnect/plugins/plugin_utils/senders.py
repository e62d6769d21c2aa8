# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a question reaches a host: the senders. Each is one road, and all of them keep the same contract.

The same question gets the same answer. Arguments are data, whatever they look like. An exception on the host is an
answer. Too much output is refused. What a module does not document is dropped. The module has the environment of the
task. ``tests/unit/plugins/plugin_utils/test_senders.py`` holds every road to it.
"""

from __future__ import annotations

import contextlib
import contextvars
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from ansible import constants as C
from ansible.errors import AnsibleActionFail, AnsibleAuthenticationFailure, AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import become_loader, connection_loader
from ansible.template import Templar
from ansible.utils.path import unfrackpath
from ansible_collections.privatewave.reconnect.plugins.module_utils._carried import UNKEPT
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError, Round
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import ANSWER_LIMIT, answer_of, plain
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.bounded import bound
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.payload import SCRIPTS, script

try:
    from ansible.executor.module_common import _BuiltModule as BuiltModule
except ImportError:
    # Not of Ansible's public interface: without it Ansible wraps every module.
    BuiltModule = None

if TYPE_CHECKING:
    from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Probe

bound()

Name = TypeVar("Name", bound=Hashable)

#: What becomes of a host that ssh has never seen, where nobody can be asked.
HOST_KEY_UNKNOWN = (
    "ssh does not know the server's host key yet: log in once by hand with ssh, compare the fingerprint that it shows, "
    "and accept it"
)

#: Why Ansible cannot make its temporary folder, by what it says of that.
NO_FOLDER = {
    r"mkdir: .*No space left on device": "The disk of the user's home folder on the server is full. Free space there.",
    r"Failed to create temporary directory": (
        "Cannot make a temporary folder in the user's home folder on the server: its disk may be full. Free space "
        "there, or correct who may write there."
    ),
}

#: How long a question waits for another one that opens the connection to its host, and between two looks, in seconds.
OPENING_SECONDS, _LOOK_SECONDS = 1.0, 0.01
#: The connections that are being opened, with what is set when their question has ended.
opening: dict[tuple[Any, ...], tuple[Any, threading.Event]] = {}
#: Until when the question of this context may start anything, on the clock of `time.monotonic`.
_deadline: contextvars.ContextVar[float] = contextvars.ContextVar("_deadline", default=float("inf"))


def no_folder(error: object) -> str:
    """Why Ansible could not make its temporary folder on a host, as sentences; "" where the connection failed.

    Ansible takes both for a connection that failed, and the host for one that cannot be reached.
    """
    return next((why for said, why in NO_FOLDER.items() if re.search(said, str(error))), "")


@contextlib.contextmanager
def making_folders() -> Iterator[None]:
    """Raises `AnsibleActionFail` where Ansible cannot make its temporary folder meanwhile."""
    try:
        yield
    except AnsibleConnectionFailure as error:
        if why := no_folder(error):
            raise AnsibleActionFail(why) from None
        raise


@dataclass(frozen=True)
class Endpoint:
    """A host of the inventory as a task reaches it: Ansible's own objects, and the variables of the host."""

    variables: dict[str, Any]
    task: Any
    connection: Any
    context: Any
    loader: Any
    templar: Any

    @classmethod
    def of(cls, action: Any, variables: dict[str, Any]) -> Endpoint:
        """The host that an action runs for."""
        return cls(variables, action._task, action._connection, action._play_context, action._loader, action._templar)

    def elsewhere(self, name: str) -> Endpoint:
        """Another host of the inventory, by a connection of its own. Raises `AnsibleError`.

        Whoever asks for it closes it. Not for threads: variables and templates are made for one at a time.
        """
        return self._at(name, self._known(name).raw_get(name), become=False, plugin="ssh")

    def peer(self, name: str) -> Endpoint:
        """Another host of the play, as if the task ran for it. Raises `AnsibleError`. Not for threads."""
        known = self._known(name)
        variables = known._variable_manager.get_vars(
            play=self.task.get_play(), host=known._inventory.get_host(name), task=self.task
        )
        return self._at(name, variables, self.task.become, self.task.connection or "ssh")

    def _known(self, name: str) -> Any:
        if name not in self.variables["hostvars"]:
            raise AnsibleError(f"{name!r} is not in the inventory")
        return self.variables["hostvars"]

    def _at(self, name: str, variables: Mapping[str, Any], become: bool, plugin: str) -> Endpoint:
        own = dict(variables)
        templar = Templar(loader=self.loader, variables=own)
        context = self.context.copy()
        context.remote_addr = str(templar.template(own.get("ansible_host", name)))
        plugin = str(templar.template(own.get("ansible_connection", plugin)))
        connection = connection_loader.get("ssh" if plugin == "smart" else plugin, context)
        if connection is None:
            raise AnsibleError(f"there is no connection plugin {plugin!r}")
        keywords = {"timeout": context.timeout, "remote_user": self.task.remote_user}
        if context.password:
            keywords["password"] = context.password
        parts = [(connection, "connection"), (connection._shell, "shell")]
        if boolean(templar.template(own.get("ansible_become", become)), strict=False):
            method = str(templar.template(own.get("ansible_become_method") or self.task.become_method))
            another = become_loader.get(method)
            if another is None:
                raise AnsibleError(f"there is no become plugin {method!r}")
            connection.set_become_plugin(another)
            context.set_become_plugin(another.name)
            keywords.update(become_user=self.task.become_user, become_flags=self.task.become_flags)
            if context.become_pass:
                keywords["become_pass"] = context.become_pass
            parts.append((another, "become"))
        for part, kind in parts:
            known = C.config.get_plugin_vars(kind, part._load_name)
            part.set_options(
                task_keys=keywords,
                var_options={key: templar.template(own[key]) for key in known if key in own},
            )
        task = self.task.copy(exclude_parent=True)
        task.delegate_to = None
        # The environment of the play comes with the parent; it names the run that this question belongs to.
        task.environment = list(self.task.environment)
        return Endpoint(own, task, connection, context, self.loader, templar)

    def template(self, value: Any) -> Any:
        """A value of the host's variables, resolved and plain."""
        return plain(self.templar.template(value))

    def ask(self, module: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What a module of ours answers, by the road that suits the host. Raises `ProbeError`."""
        interpreter = str(self.template(self.variables.get("ansible_python_interpreter", "auto")))
        keep = boolean(self.template(self.variables.get("reconnect_keep_collector", True)), strict=False)
        return road(module, interpreter, keep)(self).ask(module, arguments)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


class Wrapped(ActionBase):
    """A sender: Ansible wraps the module with what it imports, and finds the interpreter where none is set."""

    TRANSFERS_FILES = False
    _building = threading.Lock()

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(
            task=endpoint.task,
            connection=endpoint.connection,
            play_context=endpoint.context,
            loader=endpoint.loader,
            templar=endpoint.templar,
        )
        self._variables = endpoint.variables

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> NoReturn:
        """No task names a sender."""
        raise NotImplementedError

    def ask(self, module: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What a module of ours answers, as it documents it. Raises `ProbeError` when there is no such answer."""
        try:
            answer = self._answer(module, arguments)
        except AnsibleConnectionFailure as error:
            raise _connection_error(self._clearer(error)) from None
        except AnsibleError as error:
            raise ProbeError("failed", str(error)) from None
        finally:
            self.cleanup()
        if answer.get("failed") or answer.get("unreachable"):
            details = str(answer.get("module_stderr") or answer.get("exception") or "").strip().splitlines()[-1:]
            raise ProbeError("failed", " ".join([str(answer.get("msg", f"{module} failed")), *details]))
        if len(json.dumps(answer)) > ANSWER_LIMIT:
            raise ProbeError("invalid", f"{module} answered with more than {ANSWER_LIMIT} bytes")
        return answer_of(module, answer, status=False)

    def _answer(self, module: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        answer = self._execute_module(module_name=module, module_args=dict(arguments), task_vars=self._variables)
        told: dict[str, Any] = plain(answer)
        return told

    def _configure_module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> Any:
        # Ansible builds modules one at a time: its builder is not made for threads. They run at the same time.
        with self._building:
            return super()._configure_module(module_name, module_args, task_vars)

    def _low_level_execute_command(self, *arguments: Any, **options: Any) -> Any:
        with opened_once(self._connection):
            # On a busy control node a thread may come here after its limit, when nobody is left to end what it starts.
            if time.monotonic() > _deadline.get():
                raise ProbeError("timed_out", "the time limit was over before the connection was opened")
            return super()._low_level_execute_command(*arguments, **options)

    def _clearer(self, error: Any) -> Any:
        """Where ssh ends while it reads the module, its own words are lost: have it say them again."""
        if "Broken pipe" in str(error):
            try:
                self._connection.exec_command("true", sudoable=False)
            except AnsibleConnectionFailure as again:
                return again
        return error


class Script(Wrapped):
    """A sender: a script of our own, for the interpreter that is set. Only for the modules in `SCRIPTS`."""

    _kept = False

    def _configure_module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> Any:
        own = {name: value for name, value in module_args.items() if not name.startswith("_ansible_")}
        interpreter = self._templar.template(task_vars["ansible_python_interpreter"])
        built = BuiltModule(
            b_module_data=script(SCRIPTS[module_name], own, self._kept),
            module_style="new",
            shebang=f"#!{interpreter}",
            serialization_profile="legacy",
        )
        return built, SCRIPTS[module_name] + ".py"


class Kept(Script):
    """A sender: the same script without the sources, of which the host has kept the byte code.

    Where it has not, the sources are sent, and it keeps them for the next question.
    """

    def _answer(self, module: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        self._kept = True
        answer = super()._answer(module, arguments)
        if answer.get(UNKEPT) is True:
            self._kept = False
            answer = super()._answer(module, arguments)
        return answer


def road(module: str, interpreter: str, keep: bool = True) -> type[Wrapped]:
    """The sender that brings a module to a host with that ``ansible_python_interpreter``.

    ``keep`` says whether the host may keep the byte code of our modules in its memory.
    """
    if module not in SCRIPTS or interpreter.startswith("auto") or BuiltModule is None:
        return Wrapped
    return Kept if keep else Script


def ask_all(questions: Mapping[Name, tuple[Callable[[], Any], float]]) -> dict[Name, Probe[Any]]:
    """Ask ``{name: (question, limit in seconds)}`` at the same time, each in a thread with the context of this task.

    A question that is busy at its limit is answered ``timed_out``, and what it started here is ended.
    """
    asked = Round()
    #: The threads that are at work, by question.
    busy: dict[Name, int] = {}
    for name, (question, limit) in questions.items():
        asked.ask(name, in_context(partial(_at_work, busy, name, question), limit), limit)
    answers: dict[Name, Probe[Any]] = asked.answers()
    for name, answer in answers.items():
        if answer.get("error") == "timed_out" and (thread := busy.get(name)):
            _end_children(thread)
    return answers


def _at_work(busy: dict[Name, int], name: Name, question: Callable[[], Any]) -> Any:
    busy[name] = threading.get_native_id()
    try:
        return question()
    finally:
        del busy[name]


@contextlib.contextmanager
def opened_once(connection: Any) -> Iterator[None]:
    """Lets one question open the connection of ssh to a host while others wait for a moment, to share it.

    To open one takes ssh and the host longer than most questions.
    """
    if not _is_shared(connection):
        yield
        return
    ended = threading.Event()
    host = (connection.host, connection.port, connection.user)
    first, first_ended = opening.setdefault(host, (connection, ended))
    if first_ended is ended:
        try:
            yield
        finally:
            del opening[host]
            ended.set()
        return
    until = time.monotonic() + OPENING_SECONDS
    while not (_is_open(first) or first_ended.wait(_LOOK_SECONDS) or time.monotonic() > until):
        pass
    yield


def _is_shared(connection: Any) -> bool:
    """Whether Ansible has ssh share the connection, at a place that it names."""
    # Others call themselves so, too, and are none of Ansible's: mitogen.
    if connection.transport != "ssh" or not hasattr(connection, "control_path"):
        return False
    # A site may have ssh name it.
    if connection.get_option("control_path"):
        return False
    words = " ".join(connection.get_option(name) or "" for name in ("ssh_args", "ssh_common_args", "ssh_extra_args"))
    return "controlpersist" in words.lower() and "controlpath" not in words.lower()


def _is_open(connection: Any) -> bool:
    """Whether others can share the connection now."""
    path = (connection.control_path or "").replace("%(directory)s", unfrackpath(connection.control_path_dir or ""))
    return bool(path) and Path(path).exists()


def in_context(question: Callable[[], Any], limit: float = float("inf")) -> Callable[[], Any]:
    """The question for a thread of its own, with the context of this one; it starts nothing after its limit."""
    context = contextvars.copy_context()
    for variable, value in context.items():
        # Ansible's own, by its documentation one for each thread: threads that template would end each other's.
        if variable.name == "AnsibleAccessContext":
            context.run(variable.set, type(value)())
    context.run(_deadline.set, time.monotonic() + limit)
    return lambda: context.run(question)


def _connection_error(error: Any) -> ProbeError:
    """Why a connection failed, from the words of OpenSSH."""
    message = re.sub(r"^.*can be reached over ssh: ", "", " ".join(str(error).split()), flags=re.IGNORECASE)
    lower = message.lower()
    if why := no_folder(message):
        return ProbeError("failed", why)
    if "identification has changed" in lower:
        return ProbeError("denied", "ssh does not trust the server: its host key is not the one that is known")
    if "host key verification failed" in lower:
        return ProbeError("denied", HOST_KEY_UNKNOWN)
    if isinstance(error, AnsibleAuthenticationFailure) or "permission denied" in lower:
        return ProbeError("denied", message)
    if "timed out" in lower or "timeout" in lower:
        return ProbeError("timed_out", message)
    return ProbeError("unreachable", message)


def _end_children(thread: int) -> None:
    """End what a thread of this process that is still busy left running: nobody waits for it any more."""
    for child in _children(f"self/task/{thread}"):
        try:
            os.kill(child, signal.SIGTERM)
        except OSError:
            continue


def _children(*of: str) -> list[int]:
    """The processes that threads started, by their folders in /proc, and those that these started, youngest first."""
    own: list[int] = []
    for folder in of:
        with contextlib.suppress(OSError):
            own += map(int, Path("/proc", folder, "children").read_text().split())
    return [*(child for number in own for child in _children(*_threads(number))), *own]


def _threads(process: int) -> list[str]:
    """The folders of the threads of a process in /proc."""
    return [str(path.relative_to("/proc")) for path in Path(f"/proc/{process}/task").glob("*")]
