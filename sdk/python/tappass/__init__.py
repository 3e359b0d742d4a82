"""TapPass for Python: the ``openai`` client, pointed at your gateway, with the governance in view.

>>> agent = Agent("https://tappass.client.internal/v1", name="claims-processor", api_key="tp_...",
...               flags={"pii": "mask", "mode": "observe"})
>>> response = agent.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": prompt}])
>>> response.tappass.classification
'INTERNAL'
"""

from ._version import __version__
from .agent import Agent, AsyncAgent
from .approvals import Approval
from .capability import Capability, TokenRefused, arguments_hash, verify_token
from .completions import GovernedChunk, GovernedCompletion
from .errors import (
    ApprovalDenied,
    ApprovalPending,
    ApprovalRequired,
    AuthenticationError,
    BudgetExceeded,
    ConfigurationError,
    GatewayNotReady,
    GatewayTimeout,
    GatewayUnavailable,
    GatewayUnreachable,
    GovernanceError,
    PolicyBlockError,
    RateLimited,
    TapPassError,
    ToolFailed,
    ToolIntegrityError,
)
from .governance import CapabilityToken, Governance, StepTrace, WouldBlock, governance
from .sessions import AsyncSession, Session
from .tools import ToolCall, ToolGate, govern, governed

__all__ = [
    "Agent",
    "Approval",
    "ApprovalDenied",
    "ApprovalPending",
    "ApprovalRequired",
    "AsyncAgent",
    "AsyncSession",
    "AuthenticationError",
    "BudgetExceeded",
    "Capability",
    "CapabilityToken",
    "ConfigurationError",
    "GatewayNotReady",
    "GatewayTimeout",
    "GatewayUnavailable",
    "GatewayUnreachable",
    "Governance",
    "GovernanceError",
    "GovernedChunk",
    "GovernedCompletion",
    "PolicyBlockError",
    "RateLimited",
    "Session",
    "StepTrace",
    "TapPassError",
    "TokenRefused",
    "ToolCall",
    "ToolFailed",
    "ToolGate",
    "ToolIntegrityError",
    "WouldBlock",
    "__version__",
    "arguments_hash",
    "govern",
    "governance",
    "governed",
    "verify_token",
]
