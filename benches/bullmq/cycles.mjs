// cycles.mjs PORT COUNT: so many tasks through BullMQ: added 100 at a time, done by one worker of concurrency 100, their results read.
// Prints one line of JSON.
import { Job, Queue, Worker } from "bullmq";

const [port, count] = process.argv.slice(2).map(Number);
const connection = { host: "127.0.0.1", port, maxRetriesPerRequest: null };
const batch = 100;
const payload = "x".repeat(100);
const result = "r".repeat(32);

const queue = new Queue("q", { connection });
await queue.waitUntilReady();
const worker = new Worker("q", async () => result, { connection, concurrency: batch, autorun: false });
await worker.waitUntilReady();

const began = performance.now();
const done = new Promise((resolve) => {
  let left = count;
  worker.on("completed", () => --left || resolve());
});
worker.run();
const ids = [];
for (let added = 0; added < count; added += batch) {
  const tasks = Array.from({ length: batch }, () => ({ name: "t", data: payload }));
  ids.push(...(await queue.addBulk(tasks)).map((task) => task.id));
}
await done;
let misses = 0;
for (let read = 0; read < count; read += batch) {
  const tasks = await Promise.all(ids.slice(read, read + batch).map((id) => Job.fromId(queue, id)));
  misses += tasks.filter((task) => task?.returnvalue !== result).length;
}
const secs = (performance.now() - began) / 1000;
console.log(JSON.stringify({ cycles: count, secs, cycles_per_s: count / secs, misses }));
await worker.close();
await queue.close();
