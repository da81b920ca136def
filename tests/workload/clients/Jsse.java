// SPDX-License-Identifier: BSD-2-Clause
// Java's own HTTP client over its own TLS (JSSE); see client.py, which does the same.
import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.concurrent.CompletableFuture;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class Jsse {
	private static HttpClient client;
	private static URI uri;

	private static SSLContext trusting(String file) throws Exception {
		KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
		TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
		SSLContext context = SSLContext.getInstance("TLS");

		store.load(null, null);
		try (InputStream in = new FileInputStream(file)) {
			store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
		}
		trust.init(store);
		context.init(null, trust.getTrustManagers(), null);
		return context;
	}

	private static synchronized void say(String line) {
		System.out.println(line);
		System.out.flush();
	}

	private static long number(String json, String name) {
		Matcher m = Pattern.compile("\"" + name + "\": *(\\d+)").matcher(json);

		return m.find() ? Long.parseLong(m.group(1)) : -1;
	}

	private static CompletableFuture<Void> ask(int number) {
		String body = "{\"model\": \"stand-in\", \"messages\": [{\"role\": \"user\", \"content\": \"" +
			"word ".repeat(number) + "\"}]}";
		HttpRequest request = HttpRequest.newBuilder(uri)
			.header("content-type", "application/json")
			.header("authorization", "Bearer none")
			.POST(HttpRequest.BodyPublishers.ofString(body))
			.build();
		long start = System.nanoTime(); // CLOCK_MONOTONIC

		return client.sendAsync(request, HttpResponse.BodyHandlers.ofString()).thenAccept(reply -> say(String.format(
			"{\"event\": \"call\", \"number\": %d, \"start_ns\": %d, \"first_ns\": null, \"end_ns\": %d, " +
			"\"status\": %d, \"tokens_in\": %d, \"tokens_out\": %d}",
			number, start, System.nanoTime(), reply.statusCode(), number(reply.body(), "prompt_tokens"),
			number(reply.body(), "completion_tokens"))));
	}

	public static void main(String[] args) throws Exception {
		BufferedReader in = new BufferedReader(new InputStreamReader(System.in));

		uri = URI.create(args[0] + "/v1/chat/completions");
		client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1)
			.sslContext(trusting(System.getenv("SSL_CERT_FILE"))).build();
		say("{\"event\": \"ready\"}");
		for (String line; (line = in.readLine()) != null;) {
			int count = Integer.parseInt(line.split(" ")[0]), first = Integer.parseInt(line.split(" ")[1]);

			CompletableFuture.allOf(IntStream.range(first, first + count).mapToObj(Jsse::ask)
				.toArray(CompletableFuture[]::new)).join();
			say("{\"event\": \"done\"}");
		}
		System.exit(0);
	}
}
