"""What goes wrong with S3, in words: the SDKs' errors by their codes, each with its remedy."""

from __future__ import annotations

import re

from raypipe.errors import StoreError

_ANSWER = re.compile(
    r"AWS Error (\w+)(?: \(HTTP status (\d+)\))? during (?:\w+)"
    r"(?: operation: Unable to parse ExceptionName: (\w+))?"
)
"""An answer of S3 in pyarrow's words: its code, or UNKNOWN with the status and S3's own code."""

_LOST = "Failed to flush response stream"
"""pyarrow's words when it took an error's body for content and it did not fit."""

_TROUBLES = (
    (
        "requesttimetooskewed",
        "this machine's clock is wrong", "set the clock; the same command goes on",
    ),
    (
        "expiredtoken tokenrefreshrequired requestexpired",
        "the credentials have expired", "log in again; the same command goes on",
    ),
    (
        "permanentredirect authorizationheadermalformed illegallocationconstraintexception "
        "elsewhere 301",
        "the bucket is in another region",
        "set s3.region, or AWS_REGION, to the bucket's region",
    ),
    (
        "nosuchbucket paramvalidationerror",
        "there is no such bucket",
        "check the bucket's name, and s3.endpoint if the store is not AWS",
    ),
    (
        "accessdenied allaccessdisabled invalidaccesskeyid signaturedoesnotmatch "
        "nocredentialserror clientsigningfailure missingauthenticationtoken 401 403",
        "no permission",
        "check the credentials and the bucket's policy, or name s3.profile; "
        "s3.anonymous=true for a public bucket",
    ),
    (
        "slowdown serviceunavailable throttling throttlingexception requestlimitexceeded "
        "toomanyrequests 429 503",
        "the store throttled every try",
        "run the same command again later, it goes on; fewer requests at a time: --cpus",
    ),
    (
        "internalerror internalfailure 500 502 504",
        "the store failed at every try",
        "run the same command again later, it goes on",
    ),
    (
        "networkconnection requesttimeout httpclienterror connectionerror",
        "the connection failed at every try",
        "check s3.endpoint, http:// or https:// included, and the network; "
        "the same command goes on",
    ),
    (
        "400",
        "the store refuses the request",
        "check s3.region, or AWS_REGION, and whether the credentials have expired",
    ),
)  # fmt: skip
"""Codes and statuses, without what is no letter or digit; what they mean, and what to do. The
first that fits. A store's own words are not shown: some hold the key that was used."""


class LostAnswerError(StoreError):
    """The store answered with an error, and pyarrow lost which."""


def is_answer(error: Exception) -> bool:
    """Return whether pyarrow's error comes from the store, not from what a file holds."""
    return _ANSWER.search(str(error)) is not None


def refused(uri: str, error: Exception, verb: str) -> StoreError:
    """Return the error for an SDK's: what happened in words, and the remedy.

    Args:
        uri: Bucket and key.
        error: Of pyarrow or boto3.
        verb: What was tried: `read`, `written`, `listed`.
    """
    if _LOST in str(error):
        return LostAnswerError(
            f"{without_query(uri)}: cannot be {verb}: the store failed",
            "run the same command again",
        )
    codes = _codes(error)
    plain = {re.sub(r"[^a-z0-9]", "", code.lower()) for code in codes}
    for known, meaning, remedy in _TROUBLES:
        if plain & set(known.split()):
            return StoreError(f"{without_query(uri)}: cannot be {verb}: {meaning}", remedy)
    return StoreError(
        f"{without_query(uri)}: cannot be {verb}: the store says {codes[0]}",
        "check the URI, s3.region and the credentials",
    )


def _codes(error: Exception) -> list[str]:
    """Return what an error is called, the most telling name first."""
    if response := getattr(error, "response", None):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")
        return [response.get("Error", {}).get("Code", ""), str(status)]
    found = _ANSWER.search(str(error))
    if found is None:
        return [kind.__name__ for kind in type(error).__mro__]
    # Of a HEAD without a body that is all that tells a wrong region from a bad request.
    elsewhere = "elsewhere" if "while the bucket is located in" in str(error) else ""
    return [code for code in (found[3], elsewhere, found[1], found[2]) if code]


def without_query(uri: str) -> str:
    """Return a URI without its options."""
    return uri.partition("?")[0]
