// Answers on their way: kept in this browser until the server has said that they are on disk, and sent in order.

const FIRST_WAIT = 500; // milliseconds
const LONGEST_WAIT = 8000;

const sleep = (time, waker) =>
  new Promise((wake) => {
    const timer = setTimeout(wake, time);
    waker.wake = () => {
      clearTimeout(timer);
      wake();
    };
  });

export class Outbox {
  // send: entry -> promise of the reply; sent(entry, reply) and changed() are told what happens.
  constructor(key, send, sent, changed) {
    this.prefix = `goodgrain ${key} `;
    this.send = send;
    this.sent = sent;
    this.changed = changed;
    this.unkept = new Map(); // where this browser keeps nothing
    this.trouble = null; // the Failure that holds up the first entry
    this.count = 0;
    this.waker = {};
    addEventListener("online", () => this.hurry());
  }

  get volatile() {
    return this.unkept.size > 0;
  }

  names(kind) {
    const found = [...this.unkept.keys()].filter((name) => name.startsWith(this.prefix + kind));
    for (let i = 0; i < localStorage.length; i += 1) {
      const name = localStorage.key(i);
      if (name.startsWith(this.prefix + kind)) found.push(name);
    }
    return found.sort();
  }

  read(name) {
    return this.unkept.get(name) ?? JSON.parse(localStorage.getItem(name));
  }

  write(name, entry) {
    try {
      localStorage.setItem(name, JSON.stringify(entry));
    } catch {
      this.unkept.set(name, entry);
    }
  }

  remove(name) {
    this.unkept.delete(name);
    localStorage.removeItem(name);
  }

  get waiting() {
    return this.names("send ").map((name) => this.read(name));
  }

  get refused() {
    return this.names("refused ").map((name) => this.read(name));
  }

  add(entry) {
    this.count += 1;
    const order = `${String(Date.now()).padStart(15, "0")} ${String(this.count).padStart(6, "0")}`;
    this.write(`${this.prefix}send ${order} ${Math.random()}`, entry);
    this.deliver();
  }

  hurry() {
    this.waker.wake?.();
  }

  dropRefused() {
    this.names("refused ").forEach((name) => this.remove(name));
    this.changed();
  }

  async deliver() {
    if (this.delivering) return;
    this.delivering = true;
    // one tab at a time, so that no late copy of an answer overtakes its correction
    if (navigator.locks) await navigator.locks.request(this.prefix, () => this.deliverAll());
    else await this.deliverAll();
    this.delivering = false;
    if (this.names("send ").length) this.deliver(); // came while the last tab let go
    else this.changed();
  }

  async deliverAll() {
    let wait = FIRST_WAIT;
    for (let name = this.names("send ")[0]; name; name = this.names("send ")[0]) {
      const entry = this.read(name);
      let reply;
      try {
        reply = await this.send(entry);
      } catch (failure) {
        if ([400, 404, 409, 413, 422].includes(failure.status)) {
          // sending it again would not help: put it aside, where its annotator sees it
          this.write(name.replace("send ", "refused "), { ...entry, why: failure.message });
          this.remove(name);
          this.changed();
        } else {
          this.trouble = failure;
          this.changed();
          await sleep(wait, this.waker);
          wait = Math.min(2 * wait, LONGEST_WAIT);
        }
        continue;
      }
      this.remove(name);
      this.trouble = null;
      wait = FIRST_WAIT;
      this.sent(entry, reply);
    }
  }
}
