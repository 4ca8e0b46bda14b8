import assert from "node:assert/strict";
import { it } from "node:test";
import { parseRFC3339 } from "./go-time.ts";

it("takes the times that Go takes, in the usual form", () => {
  for (const [text, want = text] of [
    ["2024-01-01T00:00:00Z"],
    ["2024-02-29T23:59:59.123456789+01:30"],
    ["2024-01-01T1:00:00,5Z", "2024-01-01T01:00:00.5Z"],
  ] as const) {
    assert.equal(parseRFC3339(text), want);
  }
});

// Each as kubectl 1.33 says it.
const layout = '"2006-01-02T15:04:05Z07:00"';
for (const [text, want] of Object.entries({
  yesterday: ` as ${layout}: cannot parse "yesterday" as "2006"`,
  "24-01-01T00:00:00Z": ` as ${layout}: cannot parse "24-01-01T00:00:00Z" as "2006"`,
  "2024-01-01": ` as ${layout}: cannot parse "" as "T"`,
  "2024-01-01 00:00:00Z": ` as ${layout}: cannot parse " 00:00:00Z" as "T"`,
  "2024-01-01t00:00:00z": ` as ${layout}: cannot parse "t00:00:00z" as "T"`,
  "2024-01-01T00:00:00": ` as ${layout}: cannot parse "" as "Z07:00"`,
  "2024-01-01T00:00:00+0100": ` as ${layout}: cannot parse "+0100" as "Z07:00"`,
  "2024-13-01T00:00:00Z": ": month out of range",
  "2024-02-30T00:00:00Z": ": day out of range",
  "2023-02-29T00:00:00Z": ": day out of range",
  "2024-01-01T25:00:00Z": ": hour out of range",
  "2024-01-01T00:00:00Zx": ': extra text: "x"',
})) {
  it(`refuses ${text}`, () => {
    assert.throws(() => parseRFC3339(text), { message: `parsing time ${JSON.stringify(text)}${want}` });
  });
}
