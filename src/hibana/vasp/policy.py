"""Which of custodian's corrections are acceptable: handler lists and verdicts as data."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML, YAMLError

from hibana.core.faults import field_names, plain_faults
from hibana.vasp.errors import BAD_POLICY, UNKNOWN_POLICY, UNKNOWN_TASK

if TYPE_CHECKING:
    from custodian.custodian import ErrorHandler, Validator

Verdict = Literal["accepted", "flagged", "refused"]
VERDICTS: tuple[Verdict, ...] = ("accepted", "flagged", "refused")
"""From the mildest to the sternest."""

Action = Mapping[str, Any]


class Part(BaseModel):
    """Base of the policy's parts: frozen, no field that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Scope(Part):
    """Where a rule holds; an empty list is no restriction."""

    tasks: tuple[str, ...] = Field(default=(), description="vise's task names.")
    functionals: tuple[str, ...] = Field(default=(), description="Functionals, as stages are named.")
    why: str = Field(default="", description="The reason.")

    def holds(self, task: str | None, functional: str | None) -> bool:
        """Whether the rule is about a task and a functional; a restricted one is not about an unknown (None)."""
        return (not self.tasks or task in self.tasks) and (not self.functionals or functional in self.functionals)


class Omission(Scope):
    """Error keys that are not acted upon."""

    errors: tuple[str, ...] = Field(description="Keys of VaspErrorHandler.")


class HandlerRule(Part):
    """One of custodian's handlers and how it is made."""

    dotted: str = Field(alias="class", description="Module and class.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Arguments of its constructor.")
    without: tuple[Omission, ...] = Field(default=(), description="Errors not acted upon.")
    why: str = Field(default="", description="The reason, where it is not plain.")


class TaskRule(Scope):
    """Handlers of some tasks."""

    handlers: tuple[str, ...] = Field(description="Names of handlers, in the order of asking.")


class Changes(Part):
    """Changed inputs by verdict: INCAR tags, KPOINTS, POSCAR, or ``file NAME``."""

    accepted: tuple[str, ...] = ()
    flagged: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    by_value: dict[str, Literal["accepted where smaller"]] = Field(default_factory=dict)

    def verdict(self, change: str) -> Verdict | None:
        """Verdict on one changed input, None where it is not listed."""
        return next((name for name in VERDICTS if change in getattr(self, name)), None)


class VerdictRule(Scope):
    """Verdicts, everywhere or for some tasks or functionals."""

    changes: Changes


class HandlerPolicy(Part):
    """What custodian may do to a run."""

    name: str = Field(description="Name, as protocols use it.")
    version: int = Field(description="Raised with every change.")
    max_errors: int = Field(gt=0, description="Corrections of one run before it is given up.")
    default: Verdict = Field(description="Verdict on inputs that no rule lists.")
    handler_rules: dict[str, HandlerRule] = Field(alias="handlers", description="Handlers in use.")
    validator_classes: tuple[str, ...] = Field(alias="validators", description="What a finished run is checked with.")
    left_out: dict[str, str] = Field(description="Handlers not in use, and why.")
    tasks: tuple[TaskRule, ...] = Field(description="Handlers of each task.")
    verdicts: tuple[VerdictRule, ...] = Field(description="Verdicts on changed inputs.")

    def handler_names(self, task: str, functional: str) -> tuple[str, ...]:
        """Names of the handlers of a task, in the order of asking; of several rules the most particular one counts.

        Raises
        ------
        HibanaError
            HIB-060 for a task the policy does not know.
        """
        rules = [rule for rule in self.tasks if rule.holds(task, functional)]
        if not rules:
            known = sorted({name for rule in self.tasks for name in rule.tasks})
            raise UNKNOWN_TASK.error(f"{task!r} in policy {self.name}; it has {', '.join(known)}")
        return max(rules, key=lambda rule: (bool(rule.functionals), bool(rule.tasks))).handlers

    def handlers(self, task: str, functional: str) -> list[ErrorHandler]:
        """New instances of custodian's handlers for a task.

        Parameters
        ----------
        task
            vise's task name.
        functional
            Functional of the stage, for instance ``pbesol`` or ``hse06_nsc``.

        Raises
        ------
        HibanaError
            HIB-060 for a task the policy does not know.
        """
        return [self._handler(name, task, functional) for name in self.handler_names(task, functional)]

    def _handler(self, name: str, task: str, functional: str) -> ErrorHandler:
        rule = self.handler_rules[name]
        handler_class, arguments = _load_class(rule.dotted), dict(rule.arguments)
        omitted = self.omitted_errors(name, task, functional)
        if omitted:
            arguments["errors_subset_to_catch"] = [key for key in handler_class.error_msgs if key not in omitted]
        return handler_class(**arguments)

    def omitted_errors(self, name: str, task: str, functional: str) -> dict[str, str]:
        """Error keys of a handler that are not acted upon for a task, with the reasons."""
        rules = (rule for rule in self.handler_rules[name].without if rule.holds(task, functional))
        return {key: rule.why for rule in rules for key in rule.errors}

    def left_out_handlers(self, task: str, functional: str) -> list[tuple[ErrorHandler, str]]:
        """What stock custodian would ask and this policy does not: new instances, with the reasons."""
        stock = importlib.import_module("custodian.vasp.handlers")
        found = [(getattr(stock, name)(), why) for name, why in self.left_out.items() if hasattr(stock, name)]
        for name in self.handler_names(task, functional):
            omitted = self.omitted_errors(name, task, functional)
            handler_class = _load_class(self.handler_rules[name].dotted)
            found += [(handler_class(errors_subset_to_catch=[key]), why) for key, why in omitted.items()]
        return found

    def validators(self) -> list[Validator]:
        """New instances of the validators."""
        return [_load_class(dotted)() for dotted in self.validator_classes]

    def judge(
        self,
        actions: Iterable[Action] | None,
        task: str | None = None,
        functional: str | None = None,
        incar: Mapping[str, Any] | None = None,
    ) -> Verdict:
        """Verdict on a correction: the sternest one on any of its changes.

        Parameters
        ----------
        actions
            custodian's actions; None where nothing was changed.
        task, functional
            What the run is for; None: only the general rules count.
        incar
            INCAR before the correction, for changes whose size counts.
        """
        changes = [change for action in actions or () for change in _changes(action)]
        found = [self._judge_change(name, value, task, functional, incar or {}) for name, value in changes]
        return max(found, key=VERDICTS.index, default="accepted")

    def _judge_change(self, name: str, value: Any, task: str | None, functional: str | None, incar: Mapping[str, Any]) -> Verdict:
        rules = [rule for rule in self.verdicts if rule.holds(task, functional)]
        for rule in sorted(rules, key=lambda rule: -len(rule.tasks + rule.functionals)):
            if name in rule.changes.by_value:
                before = incar.get(name)
                smaller = isinstance(value, int | float) and (before is None or value <= before)
                return "accepted" if smaller else self.default
            if (verdict := rule.changes.verdict(name)) is not None:
                return verdict
        return self.default


def load_policy(name_or_path: str = "standard") -> HandlerPolicy:
    """A packaged policy by name, or the first one of one's own file.

    Raises
    ------
    HibanaError
        HIB-058 if there is none, HIB-059 if the file is not a policy.
    """
    packaged = _packaged()
    if name_or_path in packaged:
        return packaged[name_or_path]
    path = Path(name_or_path)
    if not path.is_file():
        raise UNKNOWN_POLICY.error(f"{name_or_path!r}; packaged: {', '.join(packaged)}")
    policies = _parse(path.read_text(encoding="utf-8"), path)
    return next(iter(policies.values()))


@cache
def _packaged() -> dict[str, HandlerPolicy]:
    source = files("hibana.vasp") / "data" / "handlers.yaml"
    return _parse(source.read_text(encoding="utf-8"), Path(str(source)))


def _parse(text: str, where: Path) -> dict[str, HandlerPolicy]:
    try:
        content = YAML(typ="safe").load(text)
        policies = {name: HandlerPolicy(name=name, **body) for name, body in content.items()}
    except YAMLError as error:
        raise BAD_POLICY.error(f"it is no YAML: {error}", where=where) from error
    except ValidationError as error:
        known = field_names(HandlerPolicy.model_json_schema())
        raise BAD_POLICY.error(plain_faults(error.errors(), known), where=where) from error
    except (TypeError, AttributeError) as error:
        raise BAD_POLICY.error("it is no table of policies, each a table of fields", where=where) from error
    for policy in policies.values():
        _check_names(policy, where)
    if not policies:
        raise BAD_POLICY.error("it holds no policy", where=where)
    return policies


def _check_names(policy: HandlerPolicy, where: Path) -> None:
    """Every handler named is declared, and every class can be loaded."""
    unknown = {name for rule in policy.tasks for name in rule.handlers} - policy.handler_rules.keys()
    if unknown:
        raise BAD_POLICY.error(f"{policy.name}: undeclared handlers {', '.join(sorted(unknown))}", where=where)
    for dotted in (*(rule.dotted for rule in policy.handler_rules.values()), *policy.validator_classes):
        try:
            _load_class(dotted)
        except (ImportError, AttributeError, ValueError) as error:
            raise BAD_POLICY.error(f"{policy.name}: {dotted} cannot be loaded: {error}", where=where) from error


def _load_class(dotted: str) -> Any:
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _changes(action: Action) -> Sequence[tuple[str, Any]]:
    """What an action changes: INCAR tags with their values, else KPOINTS, POSCAR or ``file NAME``."""
    if "file" in action:
        return [(f"file {action['file']}", None)]
    target = str(action.get("dict", ""))
    if target != "INCAR":
        return [(target, None)]
    return [(str(tag).upper(), value) for settings in action["action"].values() for tag, value in settings.items()]
