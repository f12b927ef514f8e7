//! What calendars and clocks show, and how long lengths of time are.

use crate::cel::fault::{Fault, Outcome};
use crate::cel::library::{Function, function, overload};
use crate::cel::time::Civil;
use crate::cel::value::{Context, Value};

macro_rules! overloads {
    ($utc:literal, $zone:literal) => {
        [
            overload($utc, "google.protobuf.Timestamp.() -> int"),
            overload($zone, "google.protobuf.Timestamp.(string) -> int"),
        ]
    };
    ($utc:literal, $zone:literal, $length:literal) => {
        [
            overload($utc, "google.protobuf.Timestamp.() -> int"),
            overload($zone, "google.protobuf.Timestamp.(string) -> int"),
            overload($length, "google.protobuf.Duration.() -> int"),
        ]
    };
}
pub(super) const FUNCTIONS: &[Function] = &[
    function(
        "getFullYear",
        "The year.",
        &overloads!("timestamp_to_year", "timestamp_to_year_with_tz"),
        &[],
        full_year,
    ),
    function(
        "getMonth",
        "The month, from 0.",
        &overloads!("timestamp_to_month", "timestamp_to_month_with_tz"),
        &[],
        month,
    ),
    function(
        "getDate",
        "The day of the month, from 1.",
        &overloads!(
            "timestamp_to_day_of_month_1_based",
            "timestamp_to_day_of_month_1_based_with_tz"
        ),
        &[],
        date,
    ),
    function(
        "getDayOfMonth",
        "The day of the month, from 0.",
        &overloads!("timestamp_to_day_of_month", "timestamp_to_day_of_month_with_tz"),
        &[],
        day_of_month,
    ),
    function(
        "getDayOfWeek",
        "The day of the week, from 0, which is Sunday.",
        &overloads!("timestamp_to_day_of_week", "timestamp_to_day_of_week_with_tz"),
        &[],
        day_of_week,
    ),
    function(
        "getDayOfYear",
        "The day of the year, from 0.",
        &overloads!("timestamp_to_day_of_year", "timestamp_to_day_of_year_with_tz"),
        &[],
        day_of_year,
    ),
    function(
        "getHours",
        "The hour, or how many whole hours.",
        &overloads!("timestamp_to_hours", "timestamp_to_hours_with_tz", "duration_to_hours"),
        &[],
        hours,
    ),
    function(
        "getMinutes",
        "The minute, or how many whole minutes.",
        &overloads!("timestamp_to_minutes", "timestamp_to_minutes_with_tz", "duration_to_minutes"),
        &[],
        minutes,
    ),
    function(
        "getSeconds",
        "The second, or how many whole seconds.",
        &overloads!("timestamp_to_seconds", "timestamp_to_seconds_tz", "duration_to_seconds"),
        &[],
        seconds,
    ),
    function(
        "getMilliseconds",
        "The millisecond, or how many whole milliseconds.",
        &overloads!(
            "timestamp_to_milliseconds",
            "timestamp_to_milliseconds_with_tz",
            "duration_to_milliseconds"
        ),
        &[],
        milliseconds,
    ),
];

/// A part of what calendar and clock show, or of a length in units of so many nanoseconds.
fn part<'a>(
    context: Context<'a>,
    args: &[Value<'a>],
    of: fn(Civil) -> i64,
    unit: Option<i64>,
) -> Outcome<'a> {
    let civil = match (args, unit) {
        ([Value::Timestamp(instant)], _) => instant.utc(),
        ([Value::Timestamp(instant), Value::String(zone)], _) => instant
            .in_zone(zone)
            .ok_or_else(|| Fault::text(context.arena, format_args!("unknown time zone {zone}")))?,
        ([Value::Duration(length)], Some(unit)) => return Ok(Value::Int(length.0 / unit)),
        _ => return Err(Fault::no_overload(context.arena)),
    };
    Ok(Value::Int(of(civil)))
}

fn full_year<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    part(context, args, |civil| civil.year, None)
}

fn month<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    part(context, args, |civil| civil.month - 1, None)
}

fn date<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    part(context, args, |civil| civil.day, None)
}

fn day_of_month<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    part(context, args, |civil| civil.day - 1, None)
}

fn day_of_week<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    part(context, args, |civil| civil.weekday, None)
}

fn day_of_year<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    part(context, args, |civil| civil.day_of_year - 1, None)
}

fn hours<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    part(context, args, |civil| civil.hour, Some(3_600_000_000_000))
}

fn minutes<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    part(context, args, |civil| civil.minute, Some(60_000_000_000))
}

fn seconds<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    part(context, args, |civil| civil.second, Some(1_000_000_000))
}

fn milliseconds<'a>(context: Context<'a>, args: &[Value<'a>]) -> Outcome<'a> {
    part(context, args, |civil| civil.millisecond, Some(1_000_000))
}
