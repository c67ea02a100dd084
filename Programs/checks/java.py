"""A JVM: it reserves address space, has own signal handlers and stack guards, starts children through a helper,
and its compiled code has no unwind information."""
from harness.run import which
from harness.suite import program

SOURCE = """
import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.zip.CRC32;
import java.util.zip.Deflater;
import java.util.zip.DeflaterOutputStream;

public class Job {
    static long work(int seed) throws Exception {
        CRC32 sum = new CRC32();
        for (int i = 0; i < 1000; i++) {
            ByteBuffer buffer = ByteBuffer.allocateDirect(512 + seed + i);
            buffer.putInt(0, i);
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            Deflater deflater = new Deflater(6);
            try (DeflaterOutputStream output = new DeflaterOutputStream(bytes, deflater)) {
                for (int j = 0; j < 50; j++) output.write(("line " + (i * j) + seed).getBytes());
            }
            deflater.end();
            buffer.putInt(4, bytes.size());
            sum.update(buffer);
        }
        return sum.getValue();
    }

    static int deep(int n) { return n == 0 ? 0 : 1 + deep(n - 1); }

    public static void main(String[] arguments) throws Exception {
        var pool = Executors.newFixedThreadPool(8);
        List<Future<Long>> results = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            int seed = i;
            results.add(pool.submit(() -> work(seed)));
        }
        for (var result : results) System.out.println(result.get());
        pool.shutdown();
        for (int i = 0; i < 5; i++) {
            Process child = new ProcessBuilder("sh", "-c", "echo child " + i + "; exit " + i).start();
            System.out.print(new String(child.getInputStream().readAllBytes()));
            System.out.println(child.waitFor());
        }
        try {
            deep(100_000_000);
        } catch (StackOverflowError error) {
            System.out.println("stack overflow caught");
        }
        try {
            Object nothing = arguments.length == 0 ? null : "";
            System.out.println(nothing.hashCode());
        } catch (NullPointerException exception) {
            System.out.println("null caught");
        }
        System.exit(3);
    }
}
"""


@program("java", limit_seconds=180)
def java(run):
    run.command([which("java"), "-version"])
    run.file("Job.java", SOURCE)
    run.command(["javac", "Job.java"], expect=0)
    for options in ([], ["-XX:+UseSerialGC", "-Xss256k", "-Xint"], ["-XX:+UseParallelGC", "-Xcheck:jni", "-Xmx64m"]):
        run.command(["java", "-XX:+PerfDisableSharedMem", *options, "Job"])
    run.note("crash reports", sorted(path.name for path in run.scratch.glob("hs_err*")))
