// An authorization server that others wrote and the OpenID Foundation certified,
// put under an issuer with a path and behind ACP's endpoint paths.
//
// It reads one line of JSON from standard input:
//   {"port": 0, "path": "/tenant/workspace", "accessTokenSeconds": 3600, "clients": [...],
//    "resources": {"https://api.example": "jwt", "https://other.example": "opaque"},
//    "defaultResource": "https://api.example", "refreshMilliseconds": 0}
// listens on loopback, writes {"issuer": "..."} as one line to standard output, and
// ends when standard input closes, so that it cannot outlive the test that started it.
// GET /counts, outside of the issuer's path, says how many refresh tokens were redeemed,
// refused, and used again. With refreshMilliseconds the answer to a refresh comes later, by a
// random time up to that.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';

// The library is made for Node 22; this is the one function of it that Node 20 lacks.
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

function start({ port, path, accessTokenSeconds, clients, resources, defaultResource, refreshMilliseconds }) {
  let handle;
  const counts = { refreshes: 0, refused: 0, reused: 0 };
  const server = createServer((req, res) => handle(req, res));
  // The issuer says localhost and the application 127.0.0.1: one machine, but two sites to
  // a browser, so that its cookies are put to the test.
  server.listen(port, '127.0.0.1', () => {
    const issuer = `http://localhost:${server.address().port}${path}`;
    const provider = new Provider(issuer, configuration(accessTokenSeconds, clients, resources ?? {}, defaultResource));
    provider.on('server_error', (_, err) => console.error('server_error', err));
    for (const event of ['authorization.error', 'grant.error', 'userinfo.error', 'revocation.error', 'introspection.error', 'end_session.error']) {
      provider.on(event, (_, err) => console.error(event, err.error, err.error_description, err.error_detail ?? ''));
    }
    const isRefresh = (ctx) => ctx.oidc.params?.grant_type === 'refresh_token';
    provider.on('grant.success', (ctx) => {
      if (isRefresh(ctx)) counts.refreshes++;
    });
    provider.on('grant.error', (ctx, err) => {
      if (isRefresh(ctx)) counts[err.error_detail === 'refresh token already used' ? 'reused' : 'refused']++;
    });
    if (refreshMilliseconds > 0) {
      provider.use(async (ctx, next) => {
        await next();
        if (ctx.oidc?.route === 'token' && isRefresh(ctx)) {
          await new Promise((done) => setTimeout(done, Math.random() * refreshMilliseconds));
        }
      });
    }
    const serve = provider.callback();
    handle = (req, res) => {
      if (req.url === '/counts') {
        res.setHeader('content-type', 'application/json').end(JSON.stringify(counts));
        return;
      }
      if (!req.url.startsWith(`${path}/`)) {
        res.writeHead(404).end();
        return;
      }
      req.originalUrl = req.url;
      req.url = req.url.slice(path.length);
      serve(req, res);
    };
    console.log(JSON.stringify({ issuer }));
  });
}

function configuration(accessTokenSeconds, clients, resources, defaultResource) {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    adapter: Memory,
    clients,
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'ES256', kid: 'interop' }] },
    cookies: { keys: [crypto.randomUUID()] },
    scopes: ['openid', 'offline_access', 'profile', 'email'],
    claims: { openid: ['sub'], profile: ['name'], email: ['email'] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, name: `${id} of the interop tests`, email: `${id}@example.com` }),
    }),
    pkce: { required: () => true },
    // A refresh token works once; using it again ends the whole grant.
    issueRefreshToken: (_, client) => client.grantTypeAllowed('refresh_token'),
    rotateRefreshToken: true,
    ttl: { AccessToken: accessTokenSeconds, IdToken: 3600, RefreshToken: 86400, Session: 86400, Grant: 86400, Interaction: 600 },
    features: {
      devInteractions: { enabled: true },
      revocation: { enabled: true },
      introspection: { enabled: true },
      rpInitiatedLogout: { enabled: true },
      // Access tokens for an API (RFC 8707) are JWTs (RFC 9068), or opaque.
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        defaultResource: (_ctx, _client, granted) => granted ?? defaultResource,
        getResourceServerInfo: (_, indicator) => {
          if (!resources[indicator]) throw new errors.InvalidTarget();
          return {
            scope: 'things.read things.write',
            audience: indicator,
            accessTokenTTL: accessTokenSeconds,
            accessTokenFormat: resources[indicator],
            jwt: { sign: { alg: 'ES256' } },
          };
        },
      },
    },
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    enabledJWA: {
      idTokenSigningAlgValues: ['ES256'],
      clientAuthSigningAlgValues: ['ES256', 'RS256', 'PS256', 'EdDSA'],
    },
    routes: {
      authorization: '/oauth2/authorize',
      token: '/oauth2/token',
      introspection: '/oauth2/introspect',
      revocation: '/oauth2/revoke',
      userinfo: '/userinfo',
      jwks: '/.well-known/jwks.json',
      end_session: '/oidc/logout',
    },
  };
}
