"""Buckets over the S3 protocol: options, credentials, listings, and odd keys."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path

import pytest

from raypipe.errors import InputError, StoreError
from raypipe.storage import s3 as product
from raypipe.storage.location import Location
from raypipe.storage.s3 import S3Options
from tests.s3 import ACCESS_KEY, PAGE, SECRET_KEY, Proxy, Store, meeting

ALL = S3Options("http://127.0.0.1:9000", "eu-west-1", anonymous=True, profile="lab")


@pytest.mark.parametrize(
    ("query", "options"),
    [("", S3Options()),
     ("region=eu-west-1", S3Options(region="eu-west-1")),
     ("endpoint_override=localhost:9&scheme=http", S3Options("http://localhost:9")),
     ("endpoint_override=store.example.org", S3Options("https://store.example.org")),
     ("endpoint_override=http%3A//[::1]%3A9/", S3Options("http://[::1]:9")),
     ("anonymous=true&profile=a%20b", S3Options(anonymous=True, profile="a b")),
     (ALL.query(), ALL)],
)  # fmt: skip
def test_options_survive_being_written_into_a_uri(query, options) -> None:
    path, found = product.parse(f"s3://bucket/a%20b/%23?{query}")
    assert (path, found) == ("bucket/a b/#", options)
    assert product.parse(f"s3://bucket?{found.query()}") == ("bucket", options)


def test_a_uri_takes_the_options_that_it_lacks() -> None:
    own = "s3://bucket/a%20b?region=us-east-2"
    assert product.parse(product.with_options(own, ALL))[1] == S3Options(
        "http://127.0.0.1:9000", "us-east-2", anonymous=True, profile="lab"
    )
    assert product.with_options(own, S3Options()) == own
    assert product.with_options("/a/path?x", ALL) == "/a/path?x"


@pytest.mark.faults
@pytest.mark.parametrize(
    "uri",
    [f"s3://{ACCESS_KEY}:{SECRET_KEY}@bucket/x",  # the secret has a slash in it
     f"s3://{ACCESS_KEY}:secret{SECRET_KEY[-9:]}@bucket/x",
     f"s3://bucket/x?access_key={ACCESS_KEY}&secret_key={SECRET_KEY}",
     f"s3://bucket/two words?secret_key={SECRET_KEY}",
     f"s3://bucket/x?endpoint_override=http%3A//{ACCESS_KEY}%3A{SECRET_KEY[-9:]}%40host"],
)  # fmt: skip
def test_credentials_in_a_uri_are_refused_and_not_printed(uri) -> None:
    with pytest.raises(InputError) as caught:
        Location.of(uri)
    said = f"{caught.value!r} {caught.value.remedy}"
    assert not any(part in said for part in (ACCESS_KEY, SECRET_KEY, SECRET_KEY[-9:]))
    assert caught.value.remedy


@pytest.mark.faults
def test_an_unknown_option_is_named_with_those_there_are() -> None:
    with pytest.raises(InputError, match="^s3://bucket/x: unknown option regoin") as caught:
        Location.of("s3://bucket/x?regoin=eu-west-1")
    assert caught.value.remedy == "known are endpoint_override, region, anonymous and profile"


@pytest.mark.faults
@pytest.mark.parametrize("uri", ["s3://", "s3:///key", "s3://bucket/a#b", "s3://bucket/a b"])
def test_what_is_no_uri_of_a_bucket(uri) -> None:
    with pytest.raises(InputError, match="not an S3 URI") as caught:
        Location.of(uri)
    assert caught.value.message.startswith(uri)


def both(place: Location, proxy: Proxy) -> tuple[str, str]:
    """Read with pyarrow and list with boto3; return key and region that signed every request."""
    proxy.requests.clear()
    assert place.exists()
    assert place.read_bytes() == b"x"
    assert Location.of(str(place).replace("/a.bin", "")).names() == ["a.bin"]
    assert proxy.kinds == ["HEAD", "HEAD", "GET", "LIST"]
    (signed,) = {(request.key, request.region) for request in proxy.requests}
    return signed


@pytest.fixture
def path(s3: Store) -> str:
    path = f"{s3.bucket()}/a.bin"
    s3.put(path, b"x")
    return path


@pytest.fixture
def aws_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    return path


def test_credentials_and_region_come_from_the_environment(path, proxy, monkeypatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert both(Location.of(proxy.store.uri(path)), proxy) == (ACCESS_KEY, "eu-central-1")
    place = Location.of(proxy.store.uri(path, region="eu-west-3"))
    assert both(place, proxy) == (ACCESS_KEY, "eu-west-3"), "the URI goes first"


def test_a_profile_gives_credentials_and_region(path, proxy, aws_config) -> None:
    aws_config.write_text(
        "[profile lab]\nregion = ap-south-1\naws_access_key_id = LABKEY\n"
        "aws_secret_access_key = labsecret\n"
    )
    place = Location.of(proxy.store.uri(path, profile="lab"))
    assert both(place, proxy) == ("LABKEY", "ap-south-1")
    assert str(place).endswith("&profile=lab"), "the name stays in tables, not what it stands for"


@pytest.mark.faults
@pytest.mark.parametrize(
    ("config", "reason"),
    [("", "'lab': not found on this machine"),
     ("[profile other]\naws_access_key_id = K\n", "'lab': not found"),
     ("[profile lab]\naws_access_key_id = LABKEY\n", "'lab': .*PartialCredentials"),
     ("[profile lab]\nregion = eu-west-1\n", "'lab': has no credentials"),
     ("[profile lab\n", "cannot be read .ConfigParseError")],
)  # fmt: skip
def test_a_profile_without_credentials_is_named(
    path, s3, aws_config, monkeypatch, config, reason
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    aws_config.write_text(config)
    with pytest.raises(StoreError, match=reason) as caught:
        Location.of(s3.uri(path, profile="lab"))
    assert "LABKEY" not in repr(caught.value)
    assert "config" in caught.value.remedy or "log in" in caught.value.remedy


@pytest.mark.faults
def test_the_profile_of_the_environment_may_be_missing_too(path, s3, monkeypatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "gone")
    with pytest.raises(StoreError, match="'gone': not found") as caught:
        Location.of(s3.uri(path))
    assert "AWS_PROFILE" in caught.value.remedy


def test_anonymous_sends_no_credentials(s3, path, proxy) -> None:
    bucket, key = path.split("/")
    s3.client.put_object_acl(Bucket=bucket, Key=key, ACL="public-read")
    assert both(Location.of(proxy.store.uri(path, anonymous="true")), proxy) == ("", "")


@pytest.mark.faults
def test_what_is_not_public_says_so_to_the_anonymous(s3, path) -> None:
    with pytest.raises(StoreError, match=f"^s3://{path}: cannot be read: no permission") as caught:
        Location.of(s3.uri(path, anonymous="true")).read_bytes()
    assert "credentials" in caught.value.remedy


def test_the_endpoint_of_aws_tools_is_taken(s3, path, proxy, monkeypatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.store.endpoint)
    assert both(Location.of(f"s3://{path}"), proxy) == (ACCESS_KEY, "us-east-1")


def test_a_pickle_holds_the_address_and_no_secret(s3, path, aws_config) -> None:
    aws_config.write_text(
        "[profile lab]\naws_access_key_id = LABKEY\naws_secret_access_key = labsecret\n"
    )
    for place in (Location.of(s3.uri(path)), Location.of(s3.uri(path, profile="lab")) / "b"):
        pickled = pickle.dumps(place)
        for secret in (ACCESS_KEY, SECRET_KEY, "LABKEY", "labsecret"):
            assert secret.encode() not in pickled
        assert pickle.loads(pickled) == place


def test_listings_of_many_pages_are_whole_and_sorted_as_on_disk(tmp_path, s3, proxy) -> None:
    names = [f"{folder}/{number:03d}" for folder in ("a", "a-b", "b/a", "b/a-b", "b/a.b")
             for number in range(PAGE // 2 + 1)]  # fmt: skip
    names += [f"top{number:03d}" for number in range(PAGE)]
    for name in names:
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).touch()
    place = Location.of(proxy.store.uri(s3.upload(tmp_path / "set")))
    disk = Location.of(str(tmp_path / "set"))
    proxy.requests.clear()
    assert place.names() == disk.names() == sorted(name for name in names if "/" not in name)
    assert proxy.kinds == ["LIST"] * 2
    proxy.requests.clear()
    found = list(place.files())
    assert proxy.kinds == ["LIST"] * (2 + 1 + 1 + 2)
    assert found == list(disk.files())
    assert sorted(found) == sorted(names)
    entries = place.entries()
    assert [info.base_name for info in entries][:3] == ["a", "a-b", "b"]
    assert [info.base_name for info in place.entries(recursive=True) if info.is_file] == [
        name.rpartition("/")[2] for name in sorted(names)
    ]


def test_prefixes_are_listed_at_a_time(s3, proxy) -> None:
    bucket = s3.bucket()
    for folder in "abcd":
        s3.put(f"{bucket}/set/{folder}/x")
    proxy.trouble("LIST", r"prefix=set%2F\w%2F", meeting(threading.Barrier(4)))
    found = list(Location.of(proxy.store.uri(f"{bucket}/set")).files())
    assert found == ["a/x", "b/x", "c/x", "d/x"]


def test_whoever_has_enough_does_not_wait_for_the_rest(s3, proxy) -> None:
    bucket = s3.bucket()
    for number in range(40):
        s3.put(f"{bucket}/{number:02d}/x")
    gate = threading.Event()
    proxy.trouble("LIST", r"prefix=(0[1-9]|[1-3]\d)", meeting(gate))
    files = Location.of(proxy.store.uri(bucket)).files()
    assert next(files) == "00/x"
    files.close()
    gate.set()
    assert len(proxy.requests) <= 18, "the folders, the first one, and 16 at a time"


def test_keys_that_stand_for_folders_are_no_files(s3) -> None:
    bucket = s3.bucket()
    for key in ("set/", "set/a/", "set/a/x", "set/y"):
        s3.put(f"{bucket}/{key}")
    place = Location.of(s3.uri(f"{bucket}/set"))
    assert list(place.files()) == ["a/x", "y"]
    assert place.names() == ["y"]
    assert [info.base_name for info in place.entries()] == ["a", "y"]
    assert list(Location.of(s3.uri(bucket)).files()) == ["set/a/x", "set/y"], "from the top"
    assert list((place / "nothing").files()) == []


ODD = (
    "two words.jpg", "a#b.jpg", "what?.jpg", "50%.jpg", "50%25.jpg", "ä/ö 日本.jpg",
    "a+b&c='d'.jpg",
)  # fmt: skip


def test_odd_keys_are_found_again_under_their_uri(s3) -> None:
    root = Location.of(s3.uri(f"{s3.bucket()}/my set #1"))
    for name in ODD:
        (root / name).write_bytes(name.encode())
    assert s3.keys(root.path.partition("/")[0]) == sorted(f"my set #1/{name}" for name in ODD)
    assert sorted(root.files()) == sorted(ODD)
    assert root.names() == sorted(name for name in ODD if "/" not in name)
    for name in ODD:
        uri = str(root / name)
        assert str(Location.of(uri)) == uri
        assert Location.of(uri).read_bytes() == name.encode()
        assert Location.of(uri).exists()
