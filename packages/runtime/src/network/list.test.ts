import assert from "node:assert/strict";
import { test } from "node:test";
import { CNIError, MissingPluginError } from "./cni.ts";
import { saysGone } from "./list.ts";

const there = { netns: "/run/netns/a" };
const gone = { netns: "" };
const cases: { words: string; to: { netns: string }; want: boolean }[] = [
  { words: "CNI plugin x, DEL: interface eth0 not found", to: there, want: true },
  { words: "CNI plugin sbr, DEL: no such file or directory", to: gone, want: true },
  { words: "CNI plugin sbr, DEL: no such file or directory", to: there, want: false },
  { words: "CNI plugin x, DEL: permission denied", to: gone, want: false },
  { words: 'CNI plugin x, DEL: exec: "iptables": executable file not found in $PATH', to: gone, want: false },
];
for (const { words, to, want } of cases) {
  test(`saysGone: ${words}, ${to.netns ? "with" : "without"} a namespace`, () => {
    assert.equal(saysGone(new CNIError(words), to), want);
    assert.equal(saysGone(new MissingPluginError(words), to), false);
    assert.equal(saysGone(new Error(words), to), false);
  });
}
