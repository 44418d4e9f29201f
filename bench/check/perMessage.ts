/** What was counted between two looks, for each of so many messages. */
export const perMessage = <K extends string>(
  after: Readonly<Record<K, number>>,
  before: Readonly<Record<K, number>>,
  messages: number
): Readonly<Record<K, number>> => {
  const names = Object.keys(after) as Array<K>
  const each = names.map((name) => [name, (after[name] - before[name]) / messages] as const)
  return Object.fromEntries(each) as Record<K, number>
}
