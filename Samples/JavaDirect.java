import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;

/**
 * A page cache without a limit, in Java: what it keeps are direct buffers, which the JVM has from malloc.
 *
 * <p>java -XX:+PreserveFramePointer JavaDirect writes "ready" with 100 pages in the cache, and "grown" with 1000 more
 * after a line from its standard input; ends after another.
 */
public final class JavaDirect {
    private static final Map<Integer, ByteBuffer> CACHE = new HashMap<>();

    private static ByteBuffer renderPage(int key) {
        return ByteBuffer.allocateDirect(20_000).put(0, (byte) key);
    }

    private static void serve(int from, int to) {
        for (int key = from; key < to; key++) {
            if (!CACHE.containsKey(key)) CACHE.put(key, renderPage(key));
        }
    }

    private static void awaitLine() throws java.io.IOException {
        while (System.in.read() != '\n') {}
    }

    public static void main(String[] arguments) throws java.io.IOException {
        serve(0, 100);
        System.out.println("ready");
        awaitLine();
        serve(100, 1100);
        System.out.println("grown");
        awaitLine();
    }
}
