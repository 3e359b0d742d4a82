"""What can go wrong, as types to catch.

Each error is also the ``openai`` error that stock code catches for the same status, so existing handlers keep
working. Statuses without a type here (422, 502, …) stay the errors of ``openai``.

A decision (403) is final: neither ``openai`` nor this package sends such a call again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import openai

from .governance import Governance, read

if TYPE_CHECKING:
    from .approvals import Approval, Sent


class TapPassError(Exception):
    """Every error of this package."""


class ConfigurationError(TapPassError, ValueError):
    """The agent cannot be built from what was given: an address, a key or a flag is missing or wrong."""


class GovernanceError(TapPassError, openai.PermissionDeniedError):
    """The gateway decided that this call does not go ahead as it is."""

    decision: str
    """policy_block, approval_required, trust_tier_denied, …"""
    blocked_by: str | None
    """The step that blocked, such as ``detect_pii``."""
    reason: str | None
    message: str
    classification: str | None
    details: dict[str, Any]
    """What was found, masked."""
    session_id: str | None
    task_id: str | None
    agent_uuid: str | None
    pipeline_uuid: str | None
    audit_url: str | None
    tappass: Governance | None
    answer: dict[str, Any]
    """The decision as it came, with whatever a newer gateway adds."""

    def __init__(self, answer: Mapping[str, Any], *, response: Any) -> None:
        self.answer = dict(answer)
        text = _text(answer, "message") or _text(answer, "reason") or "The gateway refused this call."
        super().__init__(text, response=response, body=answer.get("error", self.answer))
        self.decision = _text(answer, "decision") or "policy_block"
        self.tappass = read(answer.get("tappass"))
        self.blocked_by = _text(answer, "blocked_by")
        self.reason = _text(answer, "reason")
        self.classification = _text(answer, "classification")
        details = answer.get("details")
        self.details = dict(details) if isinstance(details, Mapping) else {}
        for name in ("session_id", "task_id", "agent_uuid", "pipeline_uuid", "audit_url"):
            setattr(self, name, _text(answer, name))


class PolicyBlockError(GovernanceError):
    """A step blocked the call, or stopped the answer while it streamed.

    In the second case what had passed was yielded before, and ``status_code`` is 200.
    """


class ToolIntegrityError(PolicyBlockError):
    """A tool that the call offers is not what it was when it was first seen."""

    tool_name: str | None
    violation: str | None
    """``definition_changed``."""

    def __init__(self, answer: Mapping[str, Any], *, response: Any) -> None:
        super().__init__(answer, response=response)
        self.tool_name = _text(answer, "tool_name")
        self.violation = _text(answer, "violation")


class BudgetExceeded(PolicyBlockError):
    """The step ``budget`` blocked: the call, the session or the day would cost more than is allowed."""


class ApprovalRequired(GovernanceError):
    """A person has to approve the call first. :meth:`wait`, then :meth:`resume`.

    The approval is for this very call of this agent, once, until it expires.
    """

    approval_id: str | None
    approval_url: str | None
    """Where a person decides."""
    resume_token: str | None
    expires_at: str | None
    sent: Sent | None = None
    """The call, where an ``Agent`` or ``AsyncAgent`` made it."""

    def __init__(self, answer: Mapping[str, Any], *, response: Any) -> None:
        super().__init__(answer, response=response)
        self.approval_id = _text(answer, "approval_id")
        self.approval_url = _text(answer, "approval_url")
        self.resume_token = _text(answer, "resume_token")
        self.expires_at = _text(answer, "expires_at")

    def wait(self, timeout: float | None = None) -> Approval:
        """Returns when a person has approved the call; ``timeout`` in seconds, ``None`` until it expires.

        Raises :class:`ApprovalDenied` for anything else than an approval, and :class:`ApprovalPending` when
        ``timeout`` is over.
        """
        return self._call().wait(self._id(), timeout)

    async def wait_async(self, timeout: float | None = None) -> Approval:
        """:meth:`wait`, of an ``AsyncAgent``."""
        return await self._call().wait_async(self._id(), timeout)

    def resume(self) -> Any:
        """Sends the identical call once more and returns its answer, of the same type, streamed if it was."""
        return self._call().resume(self.resume_token or self._id())

    async def resume_async(self) -> Any:
        """:meth:`resume`, of an ``AsyncAgent``."""
        return await self._call().resume_async(self.resume_token or self._id())

    def _call(self) -> Sent:
        if self.sent is None:
            raise ConfigurationError(
                "Only a call that an Agent or AsyncAgent made can be waited for and resumed."
            )
        return self.sent

    def _id(self) -> str:
        if not self.approval_id:
            raise ConfigurationError(
                "The gateway did not say which approval to wait for; is it an older one?"
            )
        return self.approval_id


class ToolFailed(TapPassError):
    """A governed tool failed, and what it said had to be masked. The message is what may be told of it."""


class ApprovalDenied(TapPassError):
    """The call was not approved: somebody said no, or nobody said yes in time."""

    approval: Approval

    def __init__(self, approval: Approval) -> None:
        self.approval = approval
        why = f": {approval.reason}" if approval.reason else ""
        super().__init__(f"The call was not approved ({approval.state}){why}.")


class ApprovalPending(TapPassError, TimeoutError):
    """Nobody has decided in the time that ``wait`` was given. It can be waited for again."""


class AuthenticationError(TapPassError, openai.AuthenticationError):
    """The key is unknown, expired or revoked, or its agent is suspended."""


class RateLimited(TapPassError, openai.RateLimitError):
    """Too many calls. Raised when the retries of ``max_retries`` are used up."""

    @property
    def retry_after(self) -> float | None:
        """Seconds after which it makes sense to try again."""
        try:
            return float(self.response.headers["retry-after"])
        except (KeyError, ValueError):
            return None


class GatewayUnavailable(TapPassError, openai.APIError):
    """The gateway gave no answer, or said that it cannot serve now. Always one of the three below."""


class GatewayUnreachable(GatewayUnavailable, openai.APIConnectionError):
    """No connection, or it broke."""


class GatewayTimeout(GatewayUnreachable, openai.APITimeoutError):
    """No answer in the time that ``timeout`` allows."""

    def __init__(self, *, message: str, request: Any) -> None:
        openai.APIConnectionError.__init__(self, message=message, request=request)


class GatewayNotReady(GatewayUnavailable, openai.InternalServerError):
    """503: the gateway answers, but does not serve calls now, for instance because it cannot record them."""


_BY_STATUS: dict[int, type[openai.APIStatusError]] = {
    401: AuthenticationError,
    429: RateLimited,
    503: GatewayNotReady,
}


def from_status(stock: openai.APIStatusError, body: object) -> openai.APIStatusError:
    """The typed form of what ``openai`` made of an answer with an error status."""
    status = stock.status_code
    if status == 403 and isinstance(body, Mapping) and isinstance(body.get("decision"), str):
        return decided(body, response=stock.response)
    kind = _BY_STATUS.get(status)
    return kind(stock.message, response=stock.response, body=stock.body) if kind else stock


def decided(answer: Mapping[str, Any], *, response: Any) -> GovernanceError:
    """The error of a decision."""
    if answer.get("decision") == "approval_required":
        return ApprovalRequired(answer, response=response)
    if answer.get("decision") == "tool_integrity_violation":
        return ToolIntegrityError(answer, response=response)
    if answer.get("decision") != "policy_block":
        return GovernanceError(answer, response=response)
    if answer.get("blocked_by") == "budget":
        return BudgetExceeded(answer, response=response)
    return PolicyBlockError(answer, response=response)


@contextmanager
def connection_errors(request: Any = None) -> Iterator[None]:
    """Raises the errors of a missing or broken connection as :class:`GatewayUnavailable`."""
    try:
        yield
    except GatewayUnavailable:
        raise
    except openai.APITimeoutError as error:
        message = f"{_where(error)} did not answer in time."
        raise GatewayTimeout(message=message, request=error.request) from error
    except openai.APIConnectionError as error:
        cause = f": {error.__cause__}" if error.__cause__ else ""
        message = f"{_where(error)} cannot be reached{cause}."
        raise GatewayUnreachable(message=message, request=error.request) from error
    except Exception as error:
        # openai 2 lets the errors of its HTTP library through while a stream is read.
        if request is None or type(error).__module__.partition(".")[0] not in ("httpx", "httpx2"):
            raise
        raise GatewayUnreachable(message=f"The stream broke off: {error}.", request=request) from error


def _where(error: openai.APIError) -> str:
    url = error.request.url
    return f"The gateway at {url.scheme}://{url.netloc.decode('ascii', 'replace')}"


def _text(answer: Mapping[str, Any], name: str) -> str | None:
    value = answer.get(name)
    return value if isinstance(value, str) else None
