import { CRIError } from "./errors.ts";

/**
 * Longest message of an error, characters. It goes into a header of HTTP/2, as nine bytes a character at worst, and is text of the
 * caller's in part: with a header of more than 64 KiB the whole connection ends.
 */
export const maxMessageLength = 4096;
/** Of a longer one the end is kept too, characters: that is where the cause is. */
const keptEnd = 1024;

/** The error with a message that can be sent and logged: the middle of a longer one is left out, and that is said. */
export function bounded(error: unknown): Error {
  const given = error instanceof Error ? error : new Error(String(error));
  const { message } = given;
  if (message.length <= maxMessageLength && message.isWellFormed()) return given;
  const short = shortened(message);
  return given instanceof CRIError ? new CRIError(given.code, short) : new Error(short);
}

/** Halves of a character, which a cut may leave and no header can hold, become U+FFFD. */
function shortened(message: string): string {
  if (message.length <= maxMessageLength) return message.toWellFormed();
  const end = message.slice(-keptEnd);
  const note = (left: number) => ` […${left} characters left out…] `;
  const begin = message.slice(0, maxMessageLength - keptEnd - note(message.length).length);
  return `${begin}${note(message.length - begin.length - end.length)}${end}`.toWellFormed();
}
