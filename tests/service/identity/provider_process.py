"""A provider of OpenID Connect in a process of its own: oidc-provider-mock, which asks for PKCE here, and whose tokens a test may
twist.

PUT /twist {"claims": {...}, "without": [...], "alg": "RS256" | "none" | "HS256", "key": "known" | "foreign", "kid": true}
says how ID tokens are made from then on; {} ends it. A twisted token is signed with the key that /jwks lists then ("known"), or
not; with `"both": true` it lists the key of honest ones, too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import oidc_provider_mock
from authlib.oauth2.rfc6749 import AuthorizationCodeGrant
from joserfc import jws
from joserfc.jwk import RSAKey
from werkzeug.serving import make_server
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Request, Response


class Provider:
    """A WSGI application around the real one."""

    def __init__(self) -> None:
        AuthorizationCodeGrant.TOKEN_ENDPOINT_AUTH_METHODS = [
            "client_secret_basic",
            "client_secret_post",
            "none",
        ]
        self.app = oidc_provider_mock.app(require_nonce=True)
        self.known = RSAKey.generate_key(2048, auto_kid=True)
        self.foreign = RSAKey.generate_key(2048, {"kid": self.known.kid})
        self.twist: dict[str, Any] = {}
        self.challenges: dict[str, str] = {}
        self.nonces: list[str] = []

    def __call__(self, environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        environ["wsgi.input"] = io.BytesIO(request.get_data(cache=True, parse_form_data=False))
        if request.path == "/twist":
            self.twist = json.loads(request.get_data())
            return Response("{}", mimetype="application/json")(environ, start_response)
        if request.path == "/oauth2/token" and not self._proves(request):
            refusal = Response('{"error": "invalid_grant"}', 400, mimetype="application/json")
            return refusal(environ, start_response)
        response = Response(*run_wsgi_app(self.app, environ, buffered=True))
        if request.path == "/oauth2/authorize" and request.method == "POST":
            self._remember(request, response)
        if request.path == "/jwks" and self.twist:
            found = json.loads(response.get_data())
            kept = found["keys"] if self.twist.get("both") else []
            response.set_data(json.dumps({"keys": [*kept, self.known.as_dict(private=False)]}))
        if request.path == "/oauth2/token" and response.status_code == 200 and self.twist:
            found = json.loads(response.get_data())
            found["id_token"] = self._twisted(found["id_token"])
            response.set_data(json.dumps(found))
        return response(environ, start_response)

    def _remember(self, request: Request, response: Response) -> None:
        """The challenge belongs to the code."""
        sent = parse_qs(urlsplit(response.headers.get("location", "")).query)
        assert request.args["code_challenge_method"] == "S256"
        if "code" in sent:
            self.challenges[sent["code"][0]] = request.args["code_challenge"]

    def _proves(self, request: Request) -> bool:
        """RFC 7636, section 4.6."""
        digest = hashlib.sha256(request.form.get("code_verifier", "").encode()).digest()
        made = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return self.challenges.get(request.form.get("code", "")) == made

    def _twisted(self, token: str) -> str:
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        claims = {**claims, **self.twist.get("claims", {})}
        for name in self.twist.get("without", ()):
            del claims[name]
        payload = json.dumps(claims).encode()
        alg = self.twist.get("alg", "RS256")
        header = {"alg": alg, **({"kid": self.known.kid} if self.twist.get("kid", True) else {})}
        if alg == "none":
            return b".".join(map(_text, (json.dumps(header).encode(), payload, b""))).decode()
        key: Any = self.known if self.twist.get("key", "known") == "known" else self.foreign
        if alg == "HS256":  # with what everybody knows: the public key
            parts = b".".join(_text(one) for one in (json.dumps(header).encode(), payload))
            made = hmac.new(self.known.as_pem(private=False), parts, hashlib.sha256).digest()
            return (parts + b"." + _text(made)).decode()
        return str(jws.serialize_compact(header, payload, key, algorithms=[alg]))


def _text(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


if __name__ == "__main__":
    server = make_server("127.0.0.1", int(sys.argv[1]), Provider(), threaded=True)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
