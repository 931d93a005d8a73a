// Calls of the server: every one with the token, every failure as an Error with a sentence and a status.

export class Failure extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status; // 0: nobody answered
  }
}

// The token comes with the address, leaves it at once, and stays in this tab.
export function findToken() {
  const address = new URL(location.href);
  const given = address.searchParams.get("token");
  if (given) {
    sessionStorage.setItem("goodgrain token", given);
    address.searchParams.delete("token");
    history.replaceState(null, "", address);
  }
  return sessionStorage.getItem("goodgrain token") ?? "";
}

export class Server {
  constructor(token) {
    this.token = token;
  }

  async call(path, options = {}) {
    const headers = { "X-Goodgrain-Token": this.token, ...options.headers };
    let reply;
    try {
      reply = await fetch(path, { ...options, headers, cache: "no-store", signal: AbortSignal.timeout(30000) });
    } catch {
      throw new Failure("the server cannot be reached", 0);
    }
    if (reply.ok) return reply;
    const body = await reply.json().catch(() => ({}));
    throw new Failure(body.error ?? `the server answered with ${reply.status}`, reply.status);
  }

  async read(reply, how) {
    try {
      return await reply[how]();
    } catch {
      throw new Failure("the server stopped in the middle of its answer", 0);
    }
  }

  async get(path, query = {}) {
    return this.read(await this.call(`${path}?${new URLSearchParams(query)}`), "json");
  }

  async post(path, body) {
    const headers = { "Content-Type": "application/json" };
    return this.read(await this.call(path, { method: "POST", headers, body: JSON.stringify(body) }), "json");
  }

  // An address of the image within this tab, so that the token is in no address at all.
  async image(id) {
    const reply = await this.call(`api/image?${new URLSearchParams({ id })}`);
    return URL.createObjectURL(await this.read(reply, "blob"));
  }
}
