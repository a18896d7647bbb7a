// Choosing a class by typing some letters of it.
import { $, make } from "./parts.js";

const MOST = 12;

export class Picker {
  // chosen(code): told the class; after it the dialog is closed.
  constructor(chosen) {
    Object.assign(this, { chosen, vocab: [], written: [], likely: new Map(), best: [], pointed: 0 });
    $("options").addEventListener("click", (event) => {
      const index = event.target.closest("li")?.dataset.option;
      if (index !== undefined) this.choose(Number(index));
    });
    $("typed").addEventListener("input", () => this.match());
    $("typed").addEventListener("keydown", (event) => {
      if (event.key === "Enter") { event.preventDefault(); this.choose(); }
      else if (event.key === "ArrowDown") { event.preventDefault(); this.point(this.pointed + 1); }
      else if (event.key === "ArrowUp") { event.preventDefault(); this.point(this.pointed - 1); }
    });
  }

  // vocab: what people read for each class; written: the class itself, which may be typed too.
  know(vocab, written) { Object.assign(this, { vocab, written }); }

  // likely: class codes to put first where several fit; none in the audit, which gives no hint.
  open(likely = []) {
    this.likely = new Map(likely.map((code, i) => [code, i]));
    $("typed").value = "";
    $("picker").showModal();
    this.match();
  }

  match() {
    const typed = $("typed").value.trim().toLowerCase();
    const score = (code) => {
      const name = this.vocab[code].toLowerCase();
      const fit = name === typed || this.written[code].toLowerCase() === typed ? 0 : name.startsWith(typed) ? 1 : name.split(/[^\p{L}\p{N}]+/u).some((w) => w.startsWith(typed)) ? 2 : name.includes(typed) ? 3 : 9;
      return fit * 100 + (this.likely.get(code) ?? 50);
    };
    this.best = this.vocab.map((_, code) => [score(code), code]).filter(([s]) => s < 900)
      .sort((a, b) => a[0] - b[0] || a[1] - b[1]).slice(0, MOST).map(([, code]) => code);
    this.point(0);
  }

  point(index) {
    this.pointed = Math.max(0, Math.min(this.best.length - 1, index));
    $("options").replaceChildren(...this.best.map((code, i) => make("li", {
      role: "option", id: `option-${i}`, "data-option": i, "aria-selected": String(i === this.pointed) }, this.vocab[code])));
    if (!this.best.length) $("options").append(make("li", { class: "none" }, "no such class"));
    $("typed").setAttribute("aria-activedescendant", this.best.length ? `option-${this.pointed}` : "");
  }

  choose(index = this.pointed) {
    if (this.best[index] === undefined) return;
    $("picker").close();
    this.chosen(this.best[index]);
  }
}
