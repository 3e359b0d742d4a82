"""What the gateway says about a call: the ``tappass`` object of every answer, typed.

The fields are those of the HTTP contract. Fields that a newer gateway adds are kept and can be read by name;
fields that are absent read as ``None``, so an older SDK and a newer gateway get along, and the reverse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from openai import BaseModel


class StepTrace(BaseModel):
    """One step of the pipeline, as it ran. Sent when the request asks (``X-TapPass-Trace: 1``)."""

    step: Optional[str] = None
    """The step's id, such as ``detect_pii``."""
    action: Optional[str] = None
    """What was done: skip, allow, log, notify, redact, block or error."""
    detected: Optional[bool] = None
    message: Optional[str] = None
    duration_ms: Optional[float] = None


class WouldBlock(BaseModel):
    """A step that would have blocked the call in mode ``enforce``."""

    step: Optional[str] = None
    reason: Optional[str] = None


class CapabilityToken(BaseModel):
    """What this call may do further on: a short-lived signed token."""

    token: Optional[str] = None
    classification: Optional[str] = None
    tools: Optional[list[str]] = None
    ops: Optional[list[str]] = None
    checks_passed: Optional[list[str]] = None
    expires_at: Optional[str] = None
    ttl: Optional[float] = None
    """Seconds."""


class Governance(BaseModel):
    """How one call was governed."""

    blocked: Optional[bool] = None
    mode: Optional[str] = None
    """observe, warn, enforce or lockdown: what applied, after the agent's floor."""
    classification: Optional[str] = None
    """PUBLIC, INTERNAL, CONFIDENTIAL or RESTRICTED."""
    session_id: Optional[str] = None
    turn_index: Optional[int] = None
    task_id: Optional[str] = None
    agent_uuid: Optional[str] = None
    pipeline_uuid: Optional[str] = None
    audit_url: Optional[str] = None
    """Where the record of this call is."""
    pipeline_id: Optional[str] = None
    model: Optional[str] = None
    steps_run: Optional[int] = None
    total_duration_ms: Optional[float] = None
    """The gateway's own time, without the provider's."""
    steps: Optional[list[StepTrace]] = None
    would_block: Optional[list[WouldBlock]] = None
    flags: Optional[dict[str, str]] = None
    """The flags in force."""
    flags_refused: Optional[list[str]] = None
    """Flags that would have loosened more than the agent's floor allows; they had no effect."""
    estimated_cost_usd: Optional[float] = None
    total_tokens: Optional[int] = None
    degraded: Optional[bool] = None
    capability_token: Optional[CapabilityToken] = None
    blocked_by: Optional[str] = None
    """The step that stopped an answer under way. A refused call says it in the error."""
    reason: Optional[str] = None
    message: Optional[str] = None
    """Of an answer that was stopped: what to show."""


def read(value: object) -> Governance | None:
    """The typed form of a ``tappass`` object as it came in JSON."""
    if isinstance(value, Governance):
        return value
    if isinstance(value, Mapping):
        fields: dict[str, Any] = {str(key): item for key, item in value.items()}
        return Governance.construct(**fields)
    return None


def governance(response: object) -> Governance | None:
    """The governance of any answer that came through the gateway, whichever client received it.

    ``None`` when the answer carries none. For what an :class:`Agent` returns from ``chat.completions.create``
    this is ``response.tappass``; it also reads answers of the stock ``openai`` client and of other routes.
    """
    return read(getattr(response, "tappass", None))
