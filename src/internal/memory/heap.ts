/** Things by the time at which they are due, the earliest first. */
export class Heap<A> {
  readonly #items: Array<{ readonly at: number; readonly value: A }> = []

  /** When the first is due; infinite while there is none. */
  get first(): number {
    return this.#items[0]?.at ?? Number.POSITIVE_INFINITY
  }

  push(at: number, value: A): void {
    const items = this.#items
    const item = { at, value }
    let index = items.push(item) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (items[parent]!.at <= at) {
        break
      }
      items[index] = items[parent]!
      index = parent
    }
    items[index] = item
  }

  pop(): A | undefined {
    const items = this.#items
    const top = items[0]
    const last = items.pop()
    if (last !== undefined && items.length > 0) {
      this.#sink(last)
    }
    return top?.value
  }

  #sink(item: { readonly at: number; readonly value: A }): void {
    const items = this.#items
    let index = 0
    while (true) {
      let child = 2 * index + 1
      if (child + 1 < items.length && items[child + 1]!.at < items[child]!.at) {
        child++
      }
      if (child >= items.length || items[child]!.at >= item.at) {
        break
      }
      items[index] = items[child]!
      index = child
    }
    items[index] = item
  }
}
