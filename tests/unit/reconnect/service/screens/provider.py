"""An identity provider on the loopback: Authlib's authorization server, with what a test changes in its tokens."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from authlib.oauth2 import rfc6749, rfc7636
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request, grants
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oidc.core.grants import OpenIDCode
from joserfc.jwk import ECKey

CLIENT, SECRET = "reconnect", "of-the-client/%"
#: Status, body and headers.
Answer = tuple[int, Any, list[tuple[str, str]]]


class Client(ClientMixin):
    """This service, as the provider knows it."""

    id_token_signed_response_alg = "ES256"
    redirect = ""

    def get_client_id(self) -> Any:
        return CLIENT

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


class Code(SimpleNamespace):
    """An authorization code that was given out."""

    def get_redirect_uri(self) -> Any:
        return self.redirect_uri

    def get_scope(self) -> Any:
        return self.scope

    def get_nonce(self) -> Any:
        return self.nonce

    def get_auth_time(self) -> Any:
        return int(time.time())

    def get_acr(self) -> Any:
        return None

    def get_amr(self) -> Any:
        return None


class Grant(grants.AuthorizationCodeGrant):
    """Codes are in memory, and are taken once."""

    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

    def save_authorization_code(self, code: str, request: Any) -> None:
        said = request.payload.data
        kept = {name: said.get(name) for name in ("nonce", "code_challenge", "code_challenge_method")}
        self.server.codes[code] = Code(
            code=code, redirect_uri=request.payload.redirect_uri, scope=request.scope, **kept
        )

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        found: Code | None = self.server.codes.get(code)
        return found

    def delete_authorization_code(self, authorization_code: Code) -> None:
        del self.server.codes[authorization_code.code]

    def authenticate_user(self, authorization_code: Code) -> Any:
        return self.server.claims


class Tokens(OpenIDCode):
    """ID tokens, whose claims a test may change."""

    def exists_nonce(self, nonce: str, request: Any) -> bool:
        return False

    def resolve_client_private_key(self, client: Client) -> ECKey:
        return self.server.key

    def get_encode_header(self, client: Client) -> dict[str, str]:
        return {"alg": "ES256", "kid": self.server.kid}

    def get_client_claims(self, client: Client) -> dict[str, Any]:
        return {"iss": self.server.issuer, "aud": [CLIENT]}

    def generate_user_info(self, user: dict[str, Any], scope: str) -> dict[str, Any]:
        return dict(user)

    def __init__(self, server: Provider) -> None:
        super().__init__(require_nonce=True)
        self.server = server


class Provider(AuthorizationServer):
    """The provider; `claims` are those of whoever signs in next, and override all others."""

    def __init__(self) -> None:
        super().__init__(scopes_supported=["openid", "profile", "email"])
        self.client = Client()
        self.codes: dict[str, Code] = {}
        self.key, self.kid, self.other = ECKey.generate_key("P-256"), "one", ECKey.generate_key("P-256")
        self.claims: dict[str, Any] = {}
        self.published = self.key
        self.asked: list[str] = []
        self.register_token_generator("default", BearerTokenGenerator(lambda **_: "of-access"))
        self.register_grant(Grant, [Tokens(self), rfc7636.CodeChallenge(required=True)])
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.issuer = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Provider:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)

    def query_client(self, client_id: str) -> Client | None:
        return self.client if client_id == CLIENT else None

    def save_token(self, token: Any, request: Any) -> None:
        pass

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        pass

    def handle_response(self, status: int, body: Any, headers: Any) -> Answer:
        return status, body, headers

    def create_oauth2_request(self, request: Any) -> Form:
        handler, form = request
        made = Form("POST" if form else "GET", f"https://provider.example{handler.path}", headers=handler.headers)
        made.said = dict(parse_qsl(form or urlsplit(handler.path).query))
        made.payload = BasicOAuth2Payload(made.said)
        return made

    def answer(self, handler: BaseHTTPRequestHandler, form: str) -> Answer:
        """Answers one request of the service or of a browser."""
        path = urlsplit(handler.path).path
        self.asked.append(path)
        if path == "/.well-known/openid-configuration":
            names = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
            names["end_session_endpoint"] = "/end"
            return 200, {"issuer": self.issuer} | {name: self.issuer + at for name, at in names.items()}, []
        if path == "/keys":
            return 200, {"keys": [self.published.as_dict(private=False, kid=self.kid, use="sig")]}, []
        if path == "/token":
            answer: Answer = self.create_token_response((handler, form))
            return answer
        request = self.create_oauth2_request((handler, form))
        grant = self.get_consent_grant((handler, form), self.claims)
        sent: Answer = self.create_authorization_response(request, grant_user=self.claims, grant=grant)
        return sent

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self, form: str = "") -> None:
                try:
                    status, body, headers = provider.answer(self, form)
                except rfc6749.OAuth2Error as error:
                    status, body, headers = 400, {"error": error.error}, []
                self.send_response(status)
                content = json.dumps(body).encode() if isinstance(body, dict) else b""
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def do_POST(self) -> None:
                self.do_GET(self.rfile.read(int(self.headers["Content-Length"])).decode())

            def log_message(self, *words: Any) -> None:
                pass

        return Handler


class Form(OAuth2Request):
    """A request as Authlib's server reads it."""

    said: dict[str, str]

    @property
    def args(self) -> dict[str, str]:
        return self.said

    @property
    def form(self) -> dict[str, str]:
        return self.said
