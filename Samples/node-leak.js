// A page cache without a limit, in JavaScript: what it keeps are buffers, which Node.js has from malloc.
//
//     node --perf-basic-prof --interpreted-frames-native-stack node-leak.js
//
// Writes "ready" with 100 pages in the cache, and "grown" with 1000 more after a line from its standard input; ends
// after another.
'use strict';

const readline = require('readline');

const cache = new Map();

function renderPage(key) {
  return Buffer.alloc(20_000, key % 251);
}

function getOrRender(key) {
  if (!cache.has(key)) cache.set(key, renderPage(key));
  return cache.get(key);
}

function serve(from, to) {
  for (let key = from; key < to; key++) getOrRender(key);
}

serve(0, 100);
console.log('ready');
let lines = 0;
readline.createInterface({ input: process.stdin }).on('line', () => {
  if (lines++ > 0) process.exit(0);
  serve(100, 1100);
  console.log('grown');
});
