"""Autoscaling of an LLMService: bounds, aims, and floors by the clock."""

from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ConfigDict, Field, field_validator

from llmservice_api.base import ApiModel, Duration, rules

Replicas = Annotated[int, Field(ge=0, le=1000)]
Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
TimeOfDay = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5, examples=["08:00"])]


class Schedule(ApiModel):
    """A floor of replicas on days of the week; an end that is not after the start is on the next day."""

    days: list[Day] = Field(
        min_length=1,
        max_length=7,
        description="Days on which it starts.",
        json_schema_extra={"x-kubernetes-list-type": "set"},
    )
    start: TimeOfDay = Field(description="Local time at which the floor begins to hold.")
    end: TimeOfDay = Field(description="Local time at which it ends; not after `start`: on the next day.")
    timezone: str = Field(
        default="UTC",
        pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$",
        max_length=64,
        description="IANA name, such as Europe/Berlin.",
    )
    min_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(description="Fewest replicas while it holds.")

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, OSError) as error:  # OSError: the name of a folder, such as Europe
            raise ValueError(f"{name} is no time zone: use an IANA name, such as Europe/Berlin") from error
        return name


# Times of day compare as texts; parsing them would be over the API server's cost limit for rules.
_NO_OVERLAP: Final = (
    "self.all(a, self.exists_one(b, a.days.exists(day, day in b.days) && "
    "a.start < (b.end > b.start ? b.end : '24:00') && b.start < (a.end > a.start ? a.end : '24:00')))"
)
_NO_OVERLAP_NEXT_DAY: Final = (
    "self.all(a, a.end > a.start || self.all(b, b.start >= a.end || !a.days.exists(day, {'Mon': 'Tue', 'Tue': 'Wed', "
    "'Wed': 'Thu', 'Thu': 'Fri', 'Fri': 'Sat', 'Sat': 'Sun', 'Sun': 'Mon'}[day] in b.days)))"
)


class Scaling(ApiModel):
    """Bounds and aims of autoscaling on queue depth."""

    min_replicas: Replicas = Field(default=1, description="Fewest replicas; 0 lets the service sleep.")
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(default=1, description="Most replicas.")
    target_queue_depth: Annotated[int, Field(ge=1, le=10000)] = Field(
        default=4, description="Waiting and running requests per replica that scaling aims at."
    )
    up_delay: Duration = Field(default="0s", description="How long more must be wanted before replicas are added.")
    down_delay: Duration = Field(default="2m", description="How long at least fewer must be wanted before replicas go.")
    idle_after: Duration = Field(
        default="15m", description="Idle time after which the last replica goes, where minReplicas is 0."
    )
    hibernate_after: Duration | None = Field(
        default=None,
        description="Time without a replica after which the Ray cluster goes too, head included; default: never.",
    )
    schedules: list[Schedule] = Field(
        default=[],
        max_length=8,
        description="Floors by the clock, over minReplicas while they hold; a change of the floor is no new revision.",
        json_schema_extra=rules(
            (_NO_OVERLAP, "schedules overlap: let one end where the other starts"),
            (_NO_OVERLAP_NEXT_DAY, "schedules overlap after midnight: let one end where the other starts"),
            (
                "self.all(s, s.timezone == self[0].timezone)",
                "schedules name different time zones: use one, since they would overlap by the season",
            ),
        ),
    )

    model_config = ConfigDict(
        json_schema_extra=rules(
            ("self.minReplicas <= self.maxReplicas", "minReplicas is over maxReplicas: lower it or raise maxReplicas"),
            (
                "!has(self.schedules) || self.schedules.all(s, s.minReplicas <= self.maxReplicas)",
                "a schedule's minReplicas is over maxReplicas: lower it or raise maxReplicas",
            ),
            (
                "!has(self.hibernateAfter) || self.minReplicas == 0",
                "hibernateAfter goes with minReplicas 0: a service that keeps replicas never hibernates",
            ),
        )
    )
