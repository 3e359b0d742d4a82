// A real issuer: the package `oidc-provider`, certified for OpenID Connect, on loopback; and a browser that goes through
// its pages by HTTP, form by form.

import { once } from "node:events";
import { createServer } from "node:http";

import Provider from "oidc-provider";

export const CLIENT = { client_id: "gateway", client_secret: "of-the-gateway-at-the-issuer" };
export const NATIVE = "http://127.0.0.1:9/native";

/** People, by the name they sign in with. */
const PEOPLE = {
  ada: { email: "ada@example.com", email_verified: true },
  bob: { email: "bob@example.com", email_verified: true },
  cleo: { email: "cleo@example.com", email_verified: true },
  dora: { email: "dora@example.com", email_verified: true },
  eve: { email: "ada@example.com", email_verified: false },
  mallory: { email: "mallory@evil.example", email_verified: true },
  taken: { email: "taken@example.com", email_verified: true },
};

/** An issuer. Its address is known before the gateway's, which `serve` is told; `inToken`: ID tokens hold addresses. */
export async function issuer() {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${server.address().port}`;
  return {
    url,
    serve(gateway, inToken) {
      const redirects = [`${gateway}/auth/oidc/callback`, NATIVE];
      const other = { client_id: "another", client_secret: "of-another" };
      const warn = console.warn;
      // It says that its pages are for trying out only, which they are.
      console.warn = console.info = () => {};
      const provider = new Provider(url, {
        clients: [CLIENT, other].map((client) => ({ ...client, redirect_uris: redirects })),
        claims: { openid: ["sub"], email: ["email", "email_verified"] },
        conformIdTokenClaims: !inToken,
        cookies: { keys: ["for a test"] },
        pkce: { required: () => true, methods: ["S256"] },
        findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...PEOPLE[id] }) }),
      });
      console.warn = warn;
      server.removeAllListeners("request");
      server.on("request", provider.callback());
    },
    async stop() {
      server.closeAllConnections?.();
      server.close();
    },
  };
}

/** A browser: it keeps cookies and follows redirects. */
export class Browser {
  cookies = new Map();

  async go(url, options = {}) {
    for (let hops = 0; hops < 20; hops++) {
      const { origin } = new URL(url);
      const jar = this.jar(origin);
      const headers = { ...options.headers, cookie: [...jar].map(([name, value]) => `${name}=${value}`).join("; ") };
      const answer = await fetch(url, { ...options, headers, redirect: "manual" });
      for (const line of answer.headers.getSetCookie()) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
        if (value === "" || /max-age=0/i.test(line)) jar.delete(name);
        else jar.set(name, value);
      }
      const location = answer.headers.get("location");
      this.visited = url;
      if (!location || this.stops?.(new URL(location, url).href)) return Object.assign(answer, { location });
      url = new URL(location, url).href;
      options = {};
    }
    throw new Error("too many redirects");
  }

  jar(origin) {
    if (!this.cookies.has(origin)) this.cookies.set(origin, new Map());
    return this.cookies.get(origin);
  }

  /** Fills in the form of a page, until there is no form. */
  async through(answer, as) {
    while (answer.status === 200 && (answer.headers.get("content-type") ?? "").startsWith("text/html")) {
      const page = await answer.text();
      const action = /<form[^>]*action="([^"]+)"/.exec(page)?.[1];
      const prompt = /name="prompt" value="([^"]+)"/.exec(page)?.[1];
      const abort = /href="([^"]*abort[^"]*)"/.exec(page)?.[1];
      if (!action) throw new Error(`no form: ${page}`);
      if (as === null) {
        answer = await this.go(new URL(abort, this.visited).href);
        continue;
      }
      const body = new URLSearchParams({ prompt, ...(prompt === "login" && { login: as, password: "any" }) });
      answer = await this.go(new URL(action, this.visited).href, { method: "POST", body });
    }
    return answer;
  }

  /** Begins at an address and signs in at the issuer as somebody; `null` turns back there. */
  async signIn(url, as) {
    return this.through(await this.go(url), as);
  }
}
