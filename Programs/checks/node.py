"""node: V8's heap and compiled code, worker threads, zlib, crypto and children."""
from harness.suite import program

SCRIPT = """
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const zlib = require('zlib');
const crypto = require('crypto');
const fs = require('fs');
const { execFileSync, spawn } = require('child_process');

function work(seed) {
    const hash = crypto.createHash('sha256');
    for (let i = 0; i < 300; i++) {
        const text = JSON.stringify(Array.from({ length: 200 }, (_, j) => ({ j, seed, text: 'x'.repeat(j % 50) })));
        const back = JSON.parse(zlib.gunzipSync(zlib.gzipSync(text)));
        hash.update(JSON.stringify(back));
    }
    return hash.digest('hex');
}

if (!isMainThread) {
    parentPort.postMessage(work(workerData));
} else {
    (async () => {
        console.log(work(0));
        const results = await Promise.all([1, 2, 3, 4].map((seed) => new Promise((resolve, reject) => {
            const worker = new Worker(__filename, { workerData: seed });
            worker.on('message', resolve);
            worker.on('error', reject);
        })));
        console.log(results.join('\\n'));
        fs.writeFileSync('written.txt', 'x'.repeat(1 << 20));
        const parts = await Promise.all(Array.from({ length: 16 }, () => fs.promises.readFile('written.txt')));
        console.log(parts.reduce((sum, part) => sum + part.length, 0));
        console.log(execFileSync('sh', ['-c', 'echo child'], { encoding: 'utf8' }));
        const child = spawn('cat');
        child.stdout.on('data', (data) => console.log('cat: ' + data));
        child.on('close', (code, signal) => { console.log(code, signal); process.exit(5); });
        child.stdin.end('piped');
    })();
}
"""


@program("node", limit_seconds=120)
def node(run):
    run.command(["node", "--version"])
    run.file("job.js", SCRIPT)
    run.command(["node", "job.js"])
    run.command(["node", "-e", "setTimeout(() => { throw new Error('late') }, 10)"])
    # Terminated worker threads end with blocks in use, wherever they are just then.
    run.command(["node", "-e", """
        const { Worker } = require('worker_threads');
        (async () => {
            for (let i = 0; i < 20; i++) {
                const worker = new Worker('for (;;) JSON.parse("[1,2,3]")', { eval: true });
                await new Promise((resolve) => worker.on('online', resolve));
                await worker.terminate();
            }
            console.log('terminated');
        })();
    """])
