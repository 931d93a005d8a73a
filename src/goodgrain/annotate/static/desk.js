// What lies before one annotator: the images in view, those that come next, and the answers that can be taken back.

const AHEAD = { 1: 6, 12: 18 }; // images in view and coming next, by how many are in view: what we hold, others wait for
const RETRY = 2000; // milliseconds
const LOOK = 500;

export class Desk {
  // changed() is called whenever something should be drawn anew; state: where the session stands.
  constructor(server, outbox, annotator, { state, last, changed }) {
    Object.assign(this, { server, outbox, annotator, state, changed });
    this.size = 1;
    this.sheet = []; // {id, answer}: in view; answer is null until it is given
    this.current = 0;
    this.pool = []; // ids that come next
    this.trouble = null; // the Failure of the last ask
    this.over = ""; // why nothing comes any more: "budget", "items", "closed"
    this.round = state.round?.number ?? 0;
    this.done = last && last.round === this.round ? [last] : []; // can be taken back, the last at the end
    this.given = new Set(); // answered here, whether the server knows or not
    this.returning = new Set(); // taken back here, the server may not know
    this.settled = new Set(); // taken back, the server knows
    this.remember();
  }

  // Answers that an earlier visit has left in the outbox.
  remember() {
    for (const { op, id, answer, annotator } of this.outbox.waiting) {
      if (annotator !== this.annotator) continue;
      if (op === "tell") {
        const before = this.done.at(-1); // the server may have it, and we do not know yet
        if (before?.id !== id || before.answer !== answer) this.done.push({ id, answer });
        this.given.add(id);
      } else {
        this.done.pop();
        this.given.delete(id);
      }
    }
  }

  get tile() {
    return this.sheet[this.current];
  }

  get open() {
    return this.sheet.filter((tile) => tile.answer === null);
  }

  resize(size) {
    this.pool = [...this.open.map((tile) => tile.id), ...this.pool];
    this.size = size;
    this.turn();
    this.refill();
  }

  turn() {
    this.sheet = this.pool.splice(0, this.size).map((id) => ({ id, answer: null }));
    this.current = 0;
  }

  // Choose another image of those in view.
  choose(place) {
    if (place >= 0 && place < this.sheet.length) this.current = place;
    this.changed();
  }

  answer(answer) {
    if (this.tile.answer !== answer) this.tell(this.tile, answer);
    const later = this.sheet.findIndex((tile, place) => place > this.current && tile.answer === null);
    this.current = later >= 0 ? later : this.sheet.findIndex((tile) => tile.answer === null);
    if (this.current < 0) this.turn();
    if (this.pool.length < AHEAD[this.size] / 2) this.refill();
    this.changed();
  }

  tell(tile, answer) {
    tile.answer = answer;
    this.given.add(tile.id);
    this.done.push({ id: tile.id, answer });
    this.outbox.add({ op: "tell", annotator: this.annotator, id: tile.id, answer });
  }

  // A closed round has been learned from: its answers stay.
  get canUndo() {
    const { round, job } = this.state;
    return this.done.length > 0 && round?.number === this.round && round.state === "open" && !job.running;
  }

  // The answer that was taken back, if there was one.
  undo() {
    if (!this.canUndo) return null;
    const last = this.done.pop();
    const earlier = this.done.findLast((entry) => entry.id === last.id); // counts again
    if (!earlier) {
      this.given.delete(last.id);
      this.returning.add(last.id);
    }
    const place = this.sheet.findIndex((tile) => tile.id === last.id);
    if (place >= 0) {
      this.sheet[place].answer = earlier?.answer ?? null;
      this.current = place;
    } else if (!earlier) {
      this.pool = [last.id, ...this.open.map((tile) => tile.id), ...this.pool.filter((id) => id !== last.id)];
      this.turn();
    }
    this.over = "";
    this.outbox.add({ op: "undo", annotator: this.annotator, id: last.id, answer: last.answer });
    this.changed();
    return last;
  }

  // The server has an answer, or has taken one back.
  sent({ op, id }, reply) {
    if (op === "undo") {
      this.settled.add(id);
      if (!reply.undone) this.done = []; // somebody answers under our name: what we remember is old
      if (!this.done.length && reply.last?.round === this.round) this.done.push(reply.last);
    }
    if (reply.round?.number === this.state.round?.number) Object.assign(this.state.round, reply.round);
    if (op === "undo" || !(this.pool.length || this.open.length)) this.refill();
    clearTimeout(this.looking);
    this.looking = setTimeout(() => this.look(), LOOK);
    this.changed();
  }

  // Count again, once the answers have gone.
  async look() {
    try {
      const state = await this.server.get("api/state");
      if (state.round?.number === this.round) this.state = state;
    } catch {
      return; // the next answer will say what is wrong
    }
    this.changed();
  }

  close() {
    this.closed = true;
    clearTimeout(this.retry);
    clearTimeout(this.looking);
  }

  async refill() {
    if (this.closed) return;
    if (this.asking) {
      this.askAgain = true;
      return;
    }
    this.asking = true;
    this.askAgain = false;
    clearTimeout(this.retry);
    const settled = [...this.settled];
    const unsent = this.outbox.waiting.length;
    try {
      const n = Math.min(500, AHEAD[this.size] + unsent + this.returning.size);
      const reply = await this.server.post("api/ask", { annotator: this.annotator, n });
      this.trouble = null;
      this.take(reply, settled, unsent);
    } catch (failure) {
      this.trouble = failure.status === 409 ? null : failure;
      if (failure.status === 409) this.end("closed");
      else this.retry = setTimeout(() => this.refill(), RETRY);
    }
    this.asking = false;
    if (this.askAgain) this.refill();
    this.changed();
  }

  take({ ids, short_of: shortOf, state }, settled, unsent) {
    this.state = state;
    if (state.round.number !== this.round) this.begin(state.round.number);
    const mine = new Set(ids.filter((id) => !this.given.has(id)));
    const kept = (id) => mine.has(id) || (this.returning.has(id) && !settled.includes(id));
    for (const id of settled) {
      this.settled.delete(id);
      this.returning.delete(id);
    }
    // what is no longer ours went to somebody else while nobody was here
    const before = this.tile?.id;
    this.sheet = this.sheet.filter((tile) => tile.answer !== null || kept(tile.id));
    this.current = Math.max(0, this.sheet.findIndex((tile) => tile.id === before));
    const shown = new Set(this.sheet.map((tile) => tile.id));
    this.pool = [...new Set([...this.pool.filter(kept), ...mine])].filter((id) => !shown.has(id));
    if (!this.open.length) this.turn();
    else if (this.sheet.length < this.size) {
      this.sheet.push(...this.pool.splice(0, this.size - this.sheet.length).map((id) => ({ id, answer: null })));
    }
    // an answered image that is still in view was chosen, for a second thought: keys stay with it
    if (this.tile?.answer && this.tile.id !== before) this.current = Math.max(0, this.sheet.findIndex((tile) => tile.answer === null));
    this.over = "";
    if (!this.open.length && !unsent && !this.outbox.waiting.length) this.end(shortOf);
  }

  begin(round) {
    this.round = round;
    this.done = [];
    this.given = new Set(this.outbox.waiting.filter((entry) => entry.op === "tell").map((entry) => entry.id));
    this.returning.clear();
    this.settled.clear();
    this.sheet = [];
    this.pool = [];
  }

  end(why) {
    this.over = why;
    this.sheet = [];
    this.pool = [];
  }
}
