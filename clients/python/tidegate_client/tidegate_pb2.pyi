from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BodyState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BODY_STATE_UNSPECIFIED: _ClassVar[BodyState]
    BODY_STATE_ABSENT: _ClassVar[BodyState]
    BODY_STATE_PARTIAL: _ClassVar[BodyState]
    BODY_STATE_WHOLE: _ClassVar[BodyState]

class Enforcement(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENFORCEMENT_UNSPECIFIED: _ClassVar[Enforcement]
    ENFORCEMENT_EXACT: _ClassVar[Enforcement]
    ENFORCEMENT_SHARE: _ClassVar[Enforcement]
    ENFORCEMENT_NONE: _ClassVar[Enforcement]
BODY_STATE_UNSPECIFIED: BodyState
BODY_STATE_ABSENT: BodyState
BODY_STATE_PARTIAL: BodyState
BODY_STATE_WHOLE: BodyState
ENFORCEMENT_UNSPECIFIED: Enforcement
ENFORCEMENT_EXACT: Enforcement
ENFORCEMENT_SHARE: Enforcement
ENFORCEMENT_NONE: Enforcement

class Header(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: str
    value: str
    def __init__(self, name: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class DecideRequest(_message.Message):
    __slots__ = ("request_id", "method", "host", "path", "query", "headers", "client_ip", "body", "body_state")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_IP_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    BODY_STATE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    method: str
    host: str
    path: str
    query: str
    headers: _containers.RepeatedCompositeFieldContainer[Header]
    client_ip: str
    body: bytes
    body_state: BodyState
    def __init__(self, request_id: _Optional[str] = ..., method: _Optional[str] = ..., host: _Optional[str] = ..., path: _Optional[str] = ..., query: _Optional[str] = ..., headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., client_ip: _Optional[str] = ..., body: _Optional[bytes] = ..., body_state: _Optional[_Union[BodyState, str]] = ...) -> None: ...

class DecideResponse(_message.Message):
    __slots__ = ("allow", "deny", "policy_version", "request_id")
    ALLOW_FIELD_NUMBER: _ClassVar[int]
    DENY_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    allow: Allow
    deny: Deny
    policy_version: str
    request_id: str
    def __init__(self, allow: _Optional[_Union[Allow, _Mapping]] = ..., deny: _Optional[_Union[Deny, _Mapping]] = ..., policy_version: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class Allow(_message.Message):
    __slots__ = ("subject", "tenant", "tier", "method", "endpoint", "model", "rulesets", "limits", "headers")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    RULESETS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    subject: str
    tenant: str
    tier: str
    method: str
    endpoint: str
    model: str
    rulesets: _containers.RepeatedScalarFieldContainer[str]
    limits: _containers.RepeatedCompositeFieldContainer[LimitState]
    headers: _containers.RepeatedCompositeFieldContainer[Header]
    def __init__(self, subject: _Optional[str] = ..., tenant: _Optional[str] = ..., tier: _Optional[str] = ..., method: _Optional[str] = ..., endpoint: _Optional[str] = ..., model: _Optional[str] = ..., rulesets: _Optional[_Iterable[str]] = ..., limits: _Optional[_Iterable[_Union[LimitState, _Mapping]]] = ..., headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ...) -> None: ...

class Deny(_message.Message):
    __slots__ = ("http_status", "reason", "message", "headers", "body", "limit")
    HTTP_STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    http_status: int
    reason: str
    message: str
    headers: _containers.RepeatedCompositeFieldContainer[Header]
    body: bytes
    limit: LimitState
    def __init__(self, http_status: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., headers: _Optional[_Iterable[_Union[Header, _Mapping]]] = ..., body: _Optional[bytes] = ..., limit: _Optional[_Union[LimitState, _Mapping]] = ...) -> None: ...

class LimitState(_message.Message):
    __slots__ = ("scope", "name", "capacity", "period_seconds", "remaining", "reset_after_seconds", "retry_after_seconds")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    PERIOD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REMAINING_FIELD_NUMBER: _ClassVar[int]
    RESET_AFTER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    scope: str
    name: str
    capacity: int
    period_seconds: float
    remaining: int
    reset_after_seconds: float
    retry_after_seconds: float
    def __init__(self, scope: _Optional[str] = ..., name: _Optional[str] = ..., capacity: _Optional[int] = ..., period_seconds: _Optional[float] = ..., remaining: _Optional[int] = ..., reset_after_seconds: _Optional[float] = ..., retry_after_seconds: _Optional[float] = ...) -> None: ...

class ConsumeRequest(_message.Message):
    __slots__ = ("attributes", "endpoint", "cost", "hold_seconds")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    HOLD_SECONDS_FIELD_NUMBER: _ClassVar[int]
    attributes: _containers.ScalarMap[str, str]
    endpoint: str
    cost: int
    hold_seconds: float
    def __init__(self, attributes: _Optional[_Mapping[str, str]] = ..., endpoint: _Optional[str] = ..., cost: _Optional[int] = ..., hold_seconds: _Optional[float] = ...) -> None: ...

class ConsumeResponse(_message.Message):
    __slots__ = ("admitted", "states", "refused", "reservation", "enforcement")
    ADMITTED_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    ENFORCEMENT_FIELD_NUMBER: _ClassVar[int]
    admitted: bool
    states: _containers.RepeatedCompositeFieldContainer[LimitState]
    refused: LimitState
    reservation: str
    enforcement: Enforcement
    def __init__(self, admitted: _Optional[bool] = ..., states: _Optional[_Iterable[_Union[LimitState, _Mapping]]] = ..., refused: _Optional[_Union[LimitState, _Mapping]] = ..., reservation: _Optional[str] = ..., enforcement: _Optional[_Union[Enforcement, str]] = ...) -> None: ...

class SettleRequest(_message.Message):
    __slots__ = ("reservation", "cost")
    RESERVATION_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    reservation: str
    cost: int
    def __init__(self, reservation: _Optional[str] = ..., cost: _Optional[int] = ...) -> None: ...

class SettleResponse(_message.Message):
    __slots__ = ("settled",)
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    settled: bool
    def __init__(self, settled: _Optional[bool] = ...) -> None: ...

class Selection(_message.Message):
    __slots__ = ("rulesets", "endpoint", "tier")
    RULESETS_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    rulesets: _containers.RepeatedScalarFieldContainer[str]
    endpoint: str
    tier: str
    def __init__(self, rulesets: _Optional[_Iterable[str]] = ..., endpoint: _Optional[str] = ..., tier: _Optional[str] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("entity", "action", "count", "where")
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    WHERE_FIELD_NUMBER: _ClassVar[int]
    entity: str
    action: str
    count: int
    where: str
    def __init__(self, entity: _Optional[str] = ..., action: _Optional[str] = ..., count: _Optional[int] = ..., where: _Optional[str] = ...) -> None: ...

class Coverage(_message.Message):
    __slots__ = ("bytes_scanned", "fields_scanned", "skipped")
    class SkippedEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    BYTES_SCANNED_FIELD_NUMBER: _ClassVar[int]
    FIELDS_SCANNED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    bytes_scanned: int
    fields_scanned: int
    skipped: _containers.ScalarMap[str, int]
    def __init__(self, bytes_scanned: _Optional[int] = ..., fields_scanned: _Optional[int] = ..., skipped: _Optional[_Mapping[str, int]] = ...) -> None: ...

class FilterTextRequest(_message.Message):
    __slots__ = ("text", "selection", "content_type")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SELECTION_FIELD_NUMBER: _ClassVar[int]
    CONTENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    text: str
    selection: Selection
    content_type: str
    def __init__(self, text: _Optional[str] = ..., selection: _Optional[_Union[Selection, _Mapping]] = ..., content_type: _Optional[str] = ...) -> None: ...

class FilterTextResponse(_message.Message):
    __slots__ = ("text", "findings", "coverage", "blocked")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    text: str
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    coverage: Coverage
    blocked: Finding
    def __init__(self, text: _Optional[str] = ..., findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ..., coverage: _Optional[_Union[Coverage, _Mapping]] = ..., blocked: _Optional[_Union[Finding, _Mapping]] = ...) -> None: ...

class FilterStreamRequest(_message.Message):
    __slots__ = ("start", "text", "end")
    class Start(_message.Message):
        __slots__ = ("selection",)
        SELECTION_FIELD_NUMBER: _ClassVar[int]
        selection: Selection
        def __init__(self, selection: _Optional[_Union[Selection, _Mapping]] = ...) -> None: ...
    class End(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    START_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: FilterStreamRequest.Start
    text: str
    end: FilterStreamRequest.End
    def __init__(self, start: _Optional[_Union[FilterStreamRequest.Start, _Mapping]] = ..., text: _Optional[str] = ..., end: _Optional[_Union[FilterStreamRequest.End, _Mapping]] = ...) -> None: ...

class FilterStreamResponse(_message.Message):
    __slots__ = ("text", "done")
    class Done(_message.Message):
        __slots__ = ("findings", "blocked")
        FINDINGS_FIELD_NUMBER: _ClassVar[int]
        BLOCKED_FIELD_NUMBER: _ClassVar[int]
        findings: _containers.RepeatedCompositeFieldContainer[Finding]
        blocked: Finding
        def __init__(self, findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ..., blocked: _Optional[_Union[Finding, _Mapping]] = ...) -> None: ...
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    text: str
    done: FilterStreamResponse.Done
    def __init__(self, text: _Optional[str] = ..., done: _Optional[_Union[FilterStreamResponse.Done, _Mapping]] = ...) -> None: ...
