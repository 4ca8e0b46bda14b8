/**
 * A server's text made safe to show on a terminal: control characters become visible (`^[`, `\r`, `^G`, `\u009b`).
 * Newlines and tabs stay. For tables and messages, never for what a session streams.
 */
export function visible(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (character) => {
    const code = character.charCodeAt(0);
    if (character === "\r") return "\\r";
    if (code >= 0x80) return `\\u${code.toString(16).padStart(4, "0")}`;
    return `^${String.fromCharCode(code ^ 0x40)}`;
  });
}
