/** A time as the API writes it: RFC 3339 in UTC, to the second. Numbers are milliseconds since 1970. */
export function rfc3339(time: Date | number): string {
  return `${new Date(time).toISOString().slice(0, 19)}Z`;
}
