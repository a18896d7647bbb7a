// A grid of cards that only holds those in sight, so ten thousand items scroll like fifty.

const GAP = 10;

export class Grid {
  // scroller: the element that scrolls; sheet: its child that is as high as all rows;
  // draw(index): a fresh card; size(width): {least width of a card, height(card width)}.
  constructor(scroller, sheet, draw, size) {
    Object.assign(this, { scroller, sheet, draw, size, count: 0, cards: new Map(), waiting: false });
    scroller.addEventListener("scroll", () => this.later(), { passive: true });
    new ResizeObserver(() => { this.measure(); this.show(true); }).observe(scroller);
    this.measure();
  }

  measure() {
    const width = this.scroller.clientWidth - 2 * GAP;
    const { least, height } = this.size();
    this.columns = Math.max(1, Math.floor((width + GAP) / (least + GAP)));
    this.width = Math.floor((width - GAP * (this.columns - 1)) / this.columns);
    this.height = height(this.width);
    this.pitch = this.height + GAP;
    this.sheet.style.height = `${Math.ceil(this.count / this.columns) * this.pitch + GAP}px`;
  }

  fill(count) {
    this.count = count;
    this.measure();
    this.scroller.scrollTop = 0;
    this.show(true);
  }

  later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.show(false); });
  }

  // First and last index in sight, with some rows to spare.
  sight(spare = 2) {
    const top = this.scroller.scrollTop;
    const first = Math.max(0, Math.floor(top / this.pitch) - spare);
    const last = Math.ceil((top + this.scroller.clientHeight) / this.pitch) + spare;
    return [first * this.columns, Math.min(this.count, last * this.columns)];
  }

  show(anew) {
    const [first, last] = this.sight();
    for (const [index, card] of this.cards) {
      if (anew || index < first || index >= last) { card.remove(); this.cards.delete(index); }
    }
    const fresh = document.createDocumentFragment();
    for (let index = first; index < last; index++) {
      if (this.cards.has(index)) continue;
      const card = this.draw(index);
      card.style.width = `${this.width}px`;
      card.style.height = `${this.height}px`;
      const left = GAP + (index % this.columns) * (this.width + GAP);
      const top = GAP + Math.floor(index / this.columns) * this.pitch;
      card.style.transform = `translate(${left}px, ${top}px)`;
      this.cards.set(index, card);
      fresh.append(card);
    }
    this.sheet.append(fresh);
  }

  // Draw one card again where it is shown.
  redraw(index) {
    const old = this.cards.get(index);
    if (!old) return;
    const card = this.draw(index);
    card.style.cssText = old.style.cssText;
    old.replaceWith(card);
    this.cards.set(index, card);
  }

  reveal(index) {
    const top = Math.floor(index / this.columns) * this.pitch;
    const height = this.scroller.clientHeight;
    if (top < this.scroller.scrollTop) this.scroller.scrollTop = top;
    else if (top + this.pitch + GAP > this.scroller.scrollTop + height) {
      this.scroller.scrollTop = top + this.pitch + GAP - height;
    }
    this.show(false);
  }

  get page() {
    return Math.max(1, Math.floor(this.scroller.clientHeight / this.pitch)) * this.columns;
  }
}
