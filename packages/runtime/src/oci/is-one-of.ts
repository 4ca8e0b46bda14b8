/** Is a number from a request one of its enum's? One that is unknown comes as it is. */
export function isOneOf(known: Record<string, unknown>, value: number): boolean {
  return Object.values(known).includes(value);
}
