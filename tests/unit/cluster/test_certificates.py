"""Certificates that the authority signs."""

import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hack.cluster import kubeconfig
from hack.cluster.certificates import Authority, Pair
from hack.cluster.failure import ClusterError


def _read(pair: Pair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes())


def test_a_client_certificate_carries_user_and_groups(tmp_path: Path) -> None:
    subject = _read(Authority(tmp_path).client("admin", "jane", ["readers", "writers"])).subject
    assert [name.value for name in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["jane"]
    assert [name.value for name in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["readers", "writers"]


def test_a_client_certificate_cannot_serve(tmp_path: Path) -> None:
    extensions = _read(Authority(tmp_path).client("admin", "jane")).extensions
    usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_server_certificate_names_hosts_and_addresses(tmp_path: Path) -> None:
    extensions = _read(Authority(tmp_path).server("api", ["localhost", "10.96.0.1"])).extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.96.0.1")]


def test_an_authority_is_found_again_in_its_folder(tmp_path: Path) -> None:
    first = Authority(tmp_path).certificate.read_bytes()
    later = Authority(tmp_path)
    issuer = x509.load_pem_x509_certificate(first)
    _read(later.client("admin", "jane")).verify_directly_issued_by(issuer)


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    Authority(tmp_path)
    other = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "ca.key").write_bytes(
        other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
    )
    with pytest.raises(ClusterError, match="run down, then up"):
        Authority(tmp_path)


def test_keys_are_for_the_owner_only(tmp_path: Path) -> None:
    pair = Authority(tmp_path / "pki").client("admin", "jane")
    assert pair.key.stat().st_mode & 0o077 == 0


def test_a_kubeconfig_carries_all_it_needs(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.client("admin", "jane")
    config = kubeconfig.render("https://127.0.0.1:6443", authority.certificate, "jane", pair)
    file = kubeconfig.write(tmp_path / "deep" / "kubeconfig", config)
    assert file.stat().st_mode & 0o077 == 0
    assert config["users"][0]["user"].keys() == {"client-certificate-data", "client-key-data"}
    assert config["current-context"] == config["contexts"][0]["name"]
