// Strokes on their way to the server: in order, each until it is acknowledged, never lost.
import { $, post, problem } from "./parts.js";

const AT_ONCE = 50;
const AGAIN = 1000;   // milliseconds before a server that was away is asked again

export class Strokes {
  // me(): the reviewer's name; answered(answer, strokes), refused(): what follows.
  constructor(me, answered, refused) {
    Object.assign(this, { me, answered, refused, queue: [], sending: null });
    addEventListener("beforeunload", (event) => { if (this.queue.length) event.preventDefault(); });
  }

  add(stroke) {
    this.queue.push(stroke);
    return this.send();
  }

  get waiting() { return this.queue.length > 0; }
  get rows() { return new Set(this.queue.flatMap((stroke) => stroke.rows || [])); }

  async send() {
    if (this.sending || !this.queue.length) return this.sending;
    $("saved").textContent = "saving…";
    this.sending = this.empty();
    await this.sending;
    this.sending = null;
    if (this.queue.length) this.send();
  }

  async empty() {
    while (this.queue.length) {
      const strokes = this.queue.slice(0, AT_ONCE);
      let answer;
      try {
        answer = await post("/api/strokes", { me: this.me(), strokes });
      } catch {
        problem("The server does not answer. Decisions are kept here and sent again; leave this page open.");
        await new Promise((done) => setTimeout(done, AGAIN));
        continue;
      }
      if (answer.status === 503) {
        const why = (await answer.json()).error.slice(0, 200);
        problem(`${why}. Decisions are kept here and sent again; leave this page open.`);
        await new Promise((done) => setTimeout(done, AGAIN));
        continue;
      }
      this.queue.splice(0, strokes.length);
      if (!answer.ok) {
        problem(`A decision was refused: ${(await answer.text()).slice(0, 200)}`);
        this.refused();
        continue;
      }
      problem(null);
      this.answered(await answer.json(), strokes);
    }
    $("saved").textContent = "saved";
  }
}
