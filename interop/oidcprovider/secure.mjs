// The same library over TLS, with what its financial profiles add: pushed authorization
// requests, request objects, signed and encrypted answers, tokens that are bound to a DPoP key or to a
// certificate, and a second port that asks for client certificates.
//
// It reads one line of JSON from standard input:
//   {"path": "/tenant/workspace", "cert": "PEM", "key": "PEM", "clientCA": "PEM", "clients": [...],
//    "requirePAR": true, "requireRequestObject": true, "requireNonce": true, "fapi": true,
//    "resources": {"https://api.example": "jwt", "https://other.example": "opaque"}}
// listens on two loopback ports, writes {"issuer": "..."} as one line to standard output, and
// ends when standard input closes. GET /seen, outside of the issuer's path, says of each request to
// which port it came, what it carried, and how it was answered. With requireNonce each DPoP proof needs
// a nonce of the server; with fapi all clients are held to FAPI 2.0.
import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import { createServer } from 'node:https';
import { createInterface } from 'node:readline';

URL.parse ??= (input, base) => {
  try {
    return new URL(input, base);
  } catch {
    return null;
  }
};
const { Provider, errors } = await import('oidc-provider');
const { Memory } = await import('./memory.mjs');

const lines = createInterface({ input: process.stdin });
lines.once('line', (line) => start(JSON.parse(line)));
lines.once('close', () => process.exit(0));

const listening = (server) => new Promise((done) => server.listen(0, '127.0.0.1', () => done(server.address().port)));

const algs = ['RSA-OAEP', 'RSA-OAEP-256', 'ECDH-ES', 'ECDH-ES+A128KW', 'ECDH-ES+A256KW'];
const encs = ['A128GCM', 'A256GCM', 'A128CBC-HS256', 'A256CBC-HS512'];

async function start({ path, cert, key, clientCA, clients, requirePAR, requireRequestObject, requireNonce, fapi, resources = {} }) {
  let handle;
  const seen = [];
  const serve = (req, res) => handle(req, res);
  // The list of authorities that goes to the client names clientCA alone: a client with a
  // self-signed certificate must send it all the same.
  const plain = createServer({ cert, key }, serve);
  const mutual = createServer({ cert, key, requestCert: true, rejectUnauthorized: false, ca: clientCA }, serve);
  const [port, mutualPort] = [await listening(plain), await listening(mutual)];
  const issuer = `https://localhost:${port}${path}`;
  const alias = (route) => `https://localhost:${mutualPort}${path}${route}`;
  const certificate = (ctx) => {
    const peer = ctx.socket.getPeerCertificate();
    return peer?.raw ? new X509Certificate(peer.raw) : undefined;
  };
  const keyOf = (namedCurve, members) => ({ ...generateKeyPairSync('ec', { namedCurve }).privateKey.export({ format: 'jwk' }), ...members });
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
  const provider = new Provider(issuer, {
    adapter: Memory,
    clients,
    clientDefaults: { authorization_signed_response_alg: 'ES256', introspection_signed_response_alg: 'ES256' },
    jwks: {
      keys: [
        keyOf('P-256', { use: 'sig', alg: 'ES256', kid: 'interop' }),
        keyOf('P-256', { use: 'enc', kid: 'interop-ec' }),
        { ...rsa, use: 'enc', kid: 'interop-rsa' },
      ],
    },
    cookies: { keys: [crypto.randomUUID()] },
    scopes: ['openid', 'offline_access'],
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    pkce: { required: () => true },
    issueRefreshToken: () => true,
    rotateRefreshToken: true,
    features: {
      devInteractions: { enabled: true },
      revocation: { enabled: true },
      introspection: { enabled: true },
      encryption: { enabled: true },
      jwtResponseModes: { enabled: true },
      jwtUserinfo: { enabled: true },
      pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: requirePAR },
      requestObjects: { enabled: true, requireSignedRequestObject: requireRequestObject },
      dPoP: { enabled: true, ...(requireNonce && { nonceSecret: randomBytes(32), requireNonce: () => true }) },
      fapi: fapi ? { enabled: true, profile: '2.0' } : { enabled: false },
      jwtIntrospection: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        defaultResource: (_ctx, _client, granted) => granted,
        getResourceServerInfo: (_, indicator) => {
          if (!resources[indicator]) throw new errors.InvalidTarget();
          return { scope: 'things.read', audience: indicator, accessTokenFormat: resources[indicator], jwt: { sign: { alg: 'ES256' } } };
        },
      },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: true,
        tlsClientAuth: true,
        getCertificate: certificate,
        certificateAuthorized: (ctx) => ctx.socket.authorized,
        certificateSubjectMatches: (ctx, property, expected) =>
          property === 'tls_client_auth_san_dns' && certificate(ctx).checkHost(expected) === expected,
      },
    },
    discovery: {
      mtls_endpoint_aliases: {
        token_endpoint: alias('/oauth2/token'),
        revocation_endpoint: alias('/oauth2/revoke'),
        introspection_endpoint: alias('/oauth2/introspect'),
        pushed_authorization_request_endpoint: alias('/par'),
        userinfo_endpoint: alias('/userinfo'),
      },
      mtls_issuer: alias(''),
    },
    clientAuthMethods: ['client_secret_basic', 'client_secret_jwt', 'private_key_jwt', 'tls_client_auth', 'self_signed_tls_client_auth', 'none'],
    enabledJWA: {
      idTokenSigningAlgValues: ['ES256'],
      clientAuthSigningAlgValues: ['HS256', 'HS384', 'HS512', 'ES256', 'PS256'],
      requestObjectSigningAlgValues: ['ES256', 'PS256'],
      requestObjectEncryptionAlgValues: algs,
      requestObjectEncryptionEncValues: encs,
      dPoPSigningAlgValues: ['ES256', 'PS256', 'EdDSA'],
      introspectionSigningAlgValues: ['ES256'],
      userinfoSigningAlgValues: ['ES256'],
      authorizationSigningAlgValues: ['ES256'],
      idTokenEncryptionAlgValues: algs,
      userinfoEncryptionAlgValues: algs,
      authorizationEncryptionAlgValues: algs,
      idTokenEncryptionEncValues: encs,
      userinfoEncryptionEncValues: encs,
      authorizationEncryptionEncValues: encs,
    },
    routes: {
      authorization: '/oauth2/authorize',
      token: '/oauth2/token',
      introspection: '/oauth2/introspect',
      revocation: '/oauth2/revoke',
      userinfo: '/userinfo',
      jwks: '/.well-known/jwks.json',
      pushed_authorization_request: '/par',
    },
  });
  provider.on('server_error', (_, err) => console.error('server_error', err));
  for (const event of ['authorization.error', 'grant.error', 'userinfo.error', 'revocation.error', 'pushed_authorization_request.error']) {
    provider.on(event, (_, err) => console.error(event, err.error, err.error_description, err.error_detail ?? '', err.cause ?? ''));
  }
  provider.use(async (ctx, next) => {
    await next();
    Object.assign(ctx.req.seen, { status: ctx.status, parameters: { ...ctx.query, ...ctx.oidc?.body } });
  });
  const answer = provider.callback();
  handle = (req, res) => {
    if (req.url === '/seen') {
      res.setHeader('content-type', 'application/json').end(JSON.stringify(seen));
      return;
    }
    if (!req.url.startsWith(`${path}/`)) {
      res.writeHead(404).end();
      return;
    }
    req.originalUrl = req.url;
    req.url = req.url.slice(path.length);
    const mutualTLS = req.socket.localPort === mutualPort;
    req.seen = {
      path: req.url.split('?')[0], method: req.method, mutual: mutualTLS, certificate: mutualTLS && Boolean(req.socket.getPeerCertificate()?.raw),
      tls: req.socket.getProtocol(), scheme: req.headers.authorization?.split(' ')[0] ?? '', proof: req.headers.dpop ?? '',
    };
    seen.push(req.seen);
    answer(req, res);
  };
  console.log(JSON.stringify({ issuer }));
}
