export { createFakeRuntime, type FakeContainer, type FakeRuntime, type FakeSandbox } from "./fake-runtime-service.ts";
