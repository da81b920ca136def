/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One exchange of each API, streamed and not, in the shapes their references and SDKs show (made-up words): fed whole, in two
 * pieces at every place, byte by byte, and with gaps at every place. Tokens are right or unknown, never wrong.
 */
#include "llm/llm.h"
#include "test.h"

/* How .reply becomes bytes: as it stands; or a frame of Amazon's event stream for each line "type payload", of which that of
 * CHUNKS is in base64. */
enum form { BODY, FRAMES, CHUNKS, EXCEPTION };

static const struct row {
	const char *name, *path, *host, *request, *type, *reply;
	enum form form;
	const char *provider;
	enum llm_kind kind;
	const char *model;
	bool streamed;
	struct llm_tokens tokens;
	const char *finish;
	int64_t metered[2]; /* what the reply's header says: in, out; -1 nothing */
	enum call_status status;
	const char *error;
	enum llm_role last_role;
} rows[] = {
	/* clang-format off */
	{ .name = "OpenAI chat",
	  .path = "/v1/chat/completions",
	  .host = "api.openai.com",
	  .request = "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "application/json",
	  .reply = "{\"id\":\"c\",\"object\":\"chat.completion\",\"model\":\"gpt-4o-2024-08-06\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":10,\"total_tokens\":29,\"prompt_tokens_details\":{\"cached_tokens\":4,\"cache_write_tokens\":2,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":3,\"audio_tokens\":0,\"accepted_prediction_tokens\":0}}}",
	  .provider = "openai", .kind = LLM_CHAT,
	  .model = "gpt-4o-2024-08-06",
	  .tokens = { 19, 10, 4, 3 },
	  .finish = "stop",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "OpenAI chat, streamed, usage asked for",
	  .path = "/v1/chat/completions",
	  .host = "eu.api.openai.com",
	  .request = "{\"model\":\"gpt-4o\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "text/event-stream",
	  .reply = "data: {\"model\":\"m-1\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}],\"usage\":null}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}],\"usage\":null}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}],\"usage\":null}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":19,\"completion_tokens\":10,\"total_tokens\":29}}\n\ndata: [DONE]\n\n",
	  .provider = "openai", .kind = LLM_CHAT,
	  .model = "m-1",
	  .streamed = true,
	  .tokens = { 19, 10, -1, -1 },
	  .finish = "length",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "OpenAI chat, streamed, usage not asked for",
	  .path = "/v1/chat/completions",
	  .host = "api.openai.com",
	  .request = "{\"model\":\"gpt-4o\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "text/event-stream",
	  .reply = "data: {\"model\":\"m-1\",\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
	  .provider = "openai", .kind = LLM_CHAT,
	  .model = "m-1",
	  .streamed = true,
	  .tokens = { -1, -1, -1, -1 },
	  .finish = "stop",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "OpenAI completions",
	  .path = "/v1/completions",
	  .host = "api.openai.com",
	  .request = "{\"model\":\"i\",\"prompt\":\"x\"}",
	  .type = "application/json",
	  .reply = "{\"model\":\"i-2\",\"choices\":[{\"text\":\"y\",\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2,\"total_tokens\":3}}",
	  .provider = "openai", .kind = LLM_CHAT,
	  .model = "i-2",
	  .tokens = { 1, 2, -1, -1 },
	  .finish = "stop",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "OpenAI Responses",
	  .path = "/v1/responses",
	  .host = "api.openai.com",
	  .request = "{\"model\":\"o4\",\"input\":\"x\"}",
	  .type = "application/json",
	  .reply = "{\"id\":\"r\",\"object\":\"response\",\"status\":\"incomplete\",\"incomplete_details\":{\"reason\":\"max_output_tokens\"},\"model\":\"o4-mini\",\"error\":null,\"output\":[],\"usage\":{\"input_tokens\":36,\"input_tokens_details\":{\"cached_tokens\":5},\"output_tokens\":87,\"output_tokens_details\":{\"reasoning_tokens\":64},\"total_tokens\":123}}",
	  .provider = "openai", .kind = LLM_CHAT,
	  .model = "o4-mini",
	  .tokens = { 36, 87, 5, 64 },
	  .finish = "max_output_tokens",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "OpenAI Responses, streamed",
	  .path = "/v1/responses",
	  .host = "api.openai.com",
	  .request = "{\"model\":\"o4\",\"stream\":true,\"input\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "text/event-stream",
	  .reply = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"status\":\"in_progress\",\"model\":\"o4-mini\",\"usage\":null}}\n\nevent: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\nevent: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"model\":\"o4-mini\",\"usage\":{\"input_tokens\":36,\"output_tokens\":87,\"total_tokens\":123}}}\n\n",
	  .provider = "openai", .kind = LLM_CHAT,
	  .model = "o4-mini",
	  .streamed = true,
	  .tokens = { 36, 87, -1, -1 },
	  .finish = "completed",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "OpenAI embeddings",
	  .path = "/v1/embeddings",
	  .host = "api.openai.com",
	  .request = "{\"model\":\"e\",\"input\":\"x\"}",
	  .type = "application/json",
	  .reply = "{\"object\":\"list\",\"data\":[{\"embedding\":[0.1,-0.2]}],\"model\":\"e-3\",\"usage\":{\"prompt_tokens\":8,\"total_tokens\":8}}",
	  .provider = "openai", .kind = LLM_EMBEDDING,
	  .model = "e-3",
	  .tokens = { 8, -1, -1, -1 },
	  .metered = { -1, -1 } },
	{ .name = "Azure OpenAI",
	  .path = "/openai/deployments/mine/chat/completions?api-version=2024-10-21",
	  .host = "r.openai.azure.com",
	  .request = "{\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "text/event-stream",
	  .reply = "data: {\"choices\":[],\"id\":\"\",\"model\":\"\",\"prompt_filter_results\":[{\"prompt_index\":0}]}\n\ndata: {\"model\":\"gpt-4o-1\",\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: {\"model\":\"gpt-4o-1\",\"choices\":[{\"delta\":{},\"finish_reason\":\"content_filter\"}]}\n\ndata: {\"choices\":[{\"content_filter_offsets\":{},\"finish_reason\":null}]}\n\ndata: {\"model\":\"gpt-4o-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":1,\"total_tokens\":6}}\n\ndata: [DONE]\n\n",
	  .provider = "azure", .kind = LLM_CHAT,
	  .model = "gpt-4o-1",
	  .streamed = true,
	  .tokens = { 5, 1, -1, -1 },
	  .finish = "content_filter",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Azure OpenAI v1",
	  .path = "/openai/v1/chat/completions",
	  .host = "r.services.ai.azure.com",
	  .request = "{\"model\":\"dep\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "application/json",
	  .reply = "{\"model\":\"gpt-4o-1\",\"choices\":[{\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":1}}",
	  .provider = "azure", .kind = LLM_CHAT,
	  .model = "gpt-4o-1",
	  .tokens = { 5, 1, -1, -1 },
	  .finish = "tool_calls",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Azure Responses",
	  .path = "/openai/responses?api-version=preview",
	  .host = "r.openai.azure.com",
	  .request = "{\"model\":\"dep\",\"input\":\"x\"}",
	  .type = "application/json",
	  .reply = "{\"status\":\"completed\",\"model\":\"gpt-5\",\"usage\":{\"input_tokens\":5,\"output_tokens\":1,\"total_tokens\":6}}",
	  .provider = "azure", .kind = LLM_CHAT,
	  .model = "gpt-5",
	  .tokens = { 5, 1, -1, -1 },
	  .finish = "completed",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Anthropic",
	  .path = "/v1/messages?beta=true",
	  .host = "api.anthropic.com",
	  .request = "{\"model\":\"claude-x\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "application/json",
	  .reply = "{\"id\":\"msg\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-x-1\",\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":10,\"cache_creation_input_tokens\":20,\"cache_read_input_tokens\":300,\"cache_creation\":{\"ephemeral_5m_input_tokens\":20},\"output_tokens\":12,\"output_tokens_details\":{\"thinking_tokens\":7}}}",
	  .provider = "anthropic", .kind = LLM_CHAT,
	  .model = "claude-x-1",
	  .tokens = { 330, 12, 300, 7 },
	  .finish = "end_turn",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Anthropic, streamed",
	  .path = "/v1/messages",
	  .host = "proxy:4000",
	  .request = "{\"stream\":true,\"model\":\"claude-x\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "text/event-stream",
	  .reply = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-x-1\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":10,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":5,\"output_tokens\":1}}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"max_tokens\"},\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":5,\"output_tokens\":42}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
	  .provider = "anthropic", .kind = LLM_CHAT,
	  .model = "claude-x-1",
	  .streamed = true,
	  .tokens = { 15, 42, 5, -1 },
	  .finish = "max_tokens",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Anthropic count_tokens",
	  .path = "/v1/messages/count_tokens",
	  .host = "api.anthropic.com",
	  .request = "{\"model\":\"claude-x\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "application/json",
	  .reply = "{\"input_tokens\":2095}",
	  .provider = "anthropic", .kind = LLM_AUXILIARY,
	  .model = "claude-x",
	  .tokens = { -1, -1, -1, -1 },
	  .metered = { -1, -1 } },
	{ .name = "Anthropic on Vertex",
	  .path = "/v1/projects/p/locations/l/publishers/anthropic/models/claude-x@1:streamRawPredict",
	  .host = "l-aiplatform.googleapis.com",
	  .request = "{\"anthropic_version\":\"vertex-2023-10-16\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "text/event-stream",
	  .reply = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"claude-x-1\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":10,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":5,\"output_tokens\":1}}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"max_tokens\"},\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":5,\"output_tokens\":42}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
	  .provider = "vertex", .kind = LLM_CHAT,
	  .model = "claude-x-1",
	  .streamed = true,
	  .tokens = { 15, 42, 5, -1 },
	  .finish = "max_tokens",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Anthropic on Foundry",
	  .path = "/anthropic/v1/messages",
	  .host = "r.services.ai.azure.com",
	  .request = "{\"model\":\"claude-x\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "application/json",
	  .reply = "{\"model\":\"claude-x-1\",\"stop_reason\":\"tool_use\",\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}",
	  .provider = "azure", .kind = LLM_CHAT,
	  .model = "claude-x-1",
	  .tokens = { 3, 4, -1, -1 },
	  .finish = "tool_use",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Gemini",
	  .path = "/v1beta/models/gemini-2.5-pro:generateContent",
	  .host = "generativelanguage.googleapis.com",
	  .request = "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}]}",
	  .type = "application/json",
	  .reply = "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":8,\"candidatesTokenCount\":2,\"thoughtsTokenCount\":30,\"toolUsePromptTokenCount\":4,\"cachedContentTokenCount\":5,\"totalTokenCount\":44},\"modelVersion\":\"gemini-2.5-pro-1\",\"responseId\":\"r\"}",
	  .provider = "gemini", .kind = LLM_CHAT,
	  .model = "gemini-2.5-pro-1",
	  .tokens = { 12, 32, 5, 30 },
	  .finish = "stop",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Gemini, streamed as events",
	  .path = "/v1beta/models/g:streamGenerateContent?alt=sse",
	  .host = "generativelanguage.googleapis.com",
	  .request = "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}]}",
	  .type = "text/event-stream",
	  .reply = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"H\"}]}}],\"usageMetadata\":{\"promptTokenCount\":8,\"totalTokenCount\":8},\"modelVersion\":\"g-1\"}\r\n\r\ndata: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"i\"}]},\"finishReason\":\"MAX_TOKENS\"}],\"usageMetadata\":{\"promptTokenCount\":8,\"candidatesTokenCount\":2,\"thoughtsTokenCount\":30,\"toolUsePromptTokenCount\":4,\"cachedContentTokenCount\":5,\"totalTokenCount\":44},\"modelVersion\":\"g-1\"}\r\n\r\n",
	  .provider = "gemini", .kind = LLM_CHAT,
	  .model = "g-1",
	  .streamed = true,
	  .tokens = { 12, 32, 5, 30 },
	  .finish = "max_tokens",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Gemini, streamed as an array",
	  .path = "/v1beta/tunedModels/g:streamGenerateContent",
	  .host = "generativelanguage.googleapis.com",
	  .request = "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}]}",
	  .type = "application/json",
	  .reply = "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"H\"}]}}],\"usageMetadata\":{\"promptTokenCount\":8,\"totalTokenCount\":8},\"modelVersion\":\"g-1\"}\n,\r\n{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"i\"}]},\"finishReason\":\"MAX_TOKENS\"}],\"usageMetadata\":{\"promptTokenCount\":8,\"candidatesTokenCount\":2,\"thoughtsTokenCount\":30,\"toolUsePromptTokenCount\":4,\"cachedContentTokenCount\":5,\"totalTokenCount\":44},\"modelVersion\":\"g-1\"}\n]",
	  .provider = "gemini", .kind = LLM_CHAT,
	  .model = "g-1",
	  .streamed = true,
	  .tokens = { 12, 32, 5, 30 },
	  .finish = "max_tokens",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Gemini, blocked",
	  .path = "/v1beta/models/g:generateContent",
	  .host = "generativelanguage.googleapis.com",
	  .request = "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}]}",
	  .type = "application/json",
	  .reply = "{\"promptFeedback\":{\"blockReason\":\"SAFETY\"},\"usageMetadata\":{\"promptTokenCount\":8,\"totalTokenCount\":8}}",
	  .provider = "gemini", .kind = LLM_CHAT,
	  .model = "g",
	  .tokens = { 8, -1, -1, -1 },
	  .finish = "safety",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Gemini embeddings",
	  .path = "/v1beta/models/e:batchEmbedContents",
	  .host = "generativelanguage.googleapis.com",
	  .request = "{\"requests\":[]}",
	  .type = "application/json",
	  .reply = "{\"embeddings\":[{\"values\":[0.1]}]}",
	  .provider = "gemini", .kind = LLM_EMBEDDING,
	  .model = "e",
	  .tokens = { -1, -1, -1, -1 },
	  .metered = { -1, -1 } },
	{ .name = "Gemini countTokens",
	  .path = "/v1beta/models/g:countTokens",
	  .host = "generativelanguage.googleapis.com",
	  .request = "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}]}",
	  .type = "application/json",
	  .reply = "{\"totalTokens\":31,\"cachedContentTokenCount\":5}",
	  .provider = "gemini", .kind = LLM_AUXILIARY,
	  .model = "g",
	  .tokens = { -1, -1, -1, -1 },
	  .metered = { -1, -1 } },
	{ .name = "Gemini interactions",
	  .path = "/v1beta/interactions",
	  .host = "generativelanguage.googleapis.com",
	  .request = "{\"model\":\"g\",\"input\":\"x\"}",
	  .type = "application/json",
	  .reply = "{\"id\":\"v1_\",\"status\":\"completed\",\"usage\":{\"total_tokens\":346,\"total_input_tokens\":11,\"total_cached_tokens\":2,\"total_output_tokens\":90,\"total_tool_use_tokens\":0,\"total_thought_tokens\":245},\"object\":\"interaction\",\"model\":\"g-3.5\"}",
	  .provider = "gemini", .kind = LLM_CHAT,
	  .model = "g-3.5",
	  .tokens = { 11, 335, 2, 245 },
	  .finish = "completed",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Gemini interactions, an agent, streamed",
	  .path = "/v1beta/interactions",
	  .host = "generativelanguage.googleapis.com",
	  .request = "{\"agent\":\"deep-research\",\"stream\":true,\"input\":\"x\"}",
	  .type = "text/event-stream",
	  .reply = "event: interaction.created\ndata: {\"event_type\":\"interaction.created\",\"interaction\":{\"id\":\"v1_\",\"status\":\"in_progress\"}}\n\nevent: step.delta\ndata: {\"event_type\":\"step.delta\",\"index\":1,\"delta\":{\"type\":\"text\",\"text\":\"Hi\"}}\n\nevent: interaction.completed\ndata: {\"interaction\":{\"status\":\"completed\",\"usage\":{\"total_tokens\":346,\"total_input_tokens\":11,\"total_cached_tokens\":2,\"total_output_tokens\":90,\"total_tool_use_tokens\":0,\"total_thought_tokens\":245}},\"event_type\":\"interaction.completed\"}\n\nevent: done\ndata: [DONE]\n\n",
	  .provider = "gemini", .kind = LLM_CHAT,
	  .model = "deep-research",
	  .streamed = true,
	  .tokens = { 11, 335, 2, 245 },
	  .finish = "completed",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Gemini as OpenAI",
	  .path = "/v1beta/openai/chat/completions",
	  .host = "generativelanguage.googleapis.com",
	  .request = "{\"model\":\"g\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "application/json",
	  .reply = "{\"model\":\"g\",\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}",
	  .provider = "gemini", .kind = LLM_CHAT,
	  .model = "g",
	  .tokens = { 3, 4, -1, -1 },
	  .finish = "stop",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Vertex",
	  .path = "/v1beta1/projects/p/locations/us/publishers/google/models/g:generateContent",
	  .host = "aiplatform.us.rep.googleapis.com",
	  .request = "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"x\"}]}]}",
	  .type = "application/json",
	  .reply = "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"i\"}]},\"finishReason\":\"MAX_TOKENS\"}],\"usageMetadata\":{\"promptTokenCount\":8,\"candidatesTokenCount\":2,\"thoughtsTokenCount\":30,\"toolUsePromptTokenCount\":4,\"cachedContentTokenCount\":5,\"totalTokenCount\":44},\"modelVersion\":\"g-1\"}",
	  .provider = "vertex", .kind = LLM_CHAT,
	  .model = "g-1",
	  .tokens = { 12, 32, 5, 30 },
	  .finish = "max_tokens",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Vertex embeddings by predict",
	  .path = "/v1/projects/p/locations/l/publishers/google/models/text-embedding:predict",
	  .host = "l-aiplatform.googleapis.com",
	  .request = "{\"instances\":[{\"content\":\"x\"},{\"content\":\"y\"}]}",
	  .type = "application/json",
	  .reply = "{\"predictions\":[{\"embeddings\":{\"values\":[0.1],\"statistics\":{\"token_count\":3,\"truncated\":false}}},{\"embeddings\":{\"values\":[0.2],\"statistics\":{\"token_count\":4}}}]}",
	  .provider = "vertex", .kind = LLM_EMBEDDING,
	  .model = "text-embedding",
	  .tokens = { 7, -1, -1, -1 },
	  .metered = { -1, -1 } },
	{ .name = "Mistral, streamed",
	  .path = "/v1/chat/completions",
	  .host = "api.mistral.ai",
	  .request = "{\"model\":\"mistral-large\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "text/event-stream",
	  .reply = "data: {\"model\":\"ml-1\",\"choices\":[{\"delta\":{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"text\":\"h\"}]}]}}]}\n\ndata: {\"model\":\"ml-1\",\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"model_length\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}\n\ndata: [DONE]\n\n",
	  .provider = "mistral", .kind = LLM_CHAT,
	  .model = "ml-1",
	  .streamed = true,
	  .tokens = { 3, 4, -1, -1 },
	  .finish = "model_length",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Mistral fim",
	  .path = "/v1/fim/completions",
	  .host = "api.mistral.ai",
	  .request = "{\"model\":\"codestral\",\"prompt\":\"x\",\"suffix\":\"y\"}",
	  .type = "application/json",
	  .reply = "{\"model\":\"codestral\",\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}",
	  .provider = "mistral", .kind = LLM_CHAT,
	  .model = "codestral",
	  .tokens = { 3, 4, -1, -1 },
	  .finish = "stop",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Mistral conversations",
	  .path = "/v1/conversations",
	  .host = "api.mistral.ai",
	  .request = "{\"model\":\"mistral-large\",\"inputs\":\"x\",\"stream\":true}",
	  .type = "text/event-stream",
	  .reply = "event: conversation.response.started\ndata: {\"type\":\"conversation.response.started\",\"conversation_id\":\"c\"}\n\nevent: message.output.delta\ndata: {\"type\":\"message.output.delta\",\"model\":\"ml-1\",\"content\":\"Hi\"}\n\nevent: conversation.response.done\ndata: {\"type\":\"conversation.response.done\",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7,\"connector_tokens\":null}}\n\n",
	  .provider = "mistral", .kind = LLM_CHAT,
	  .model = "ml-1",
	  .streamed = true,
	  .tokens = { 3, 4, -1, -1 },
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Mistral conversations, going on",
	  .path = "/v1/conversations/conv_1",
	  .host = "api.mistral.ai",
	  .request = "{\"inputs\":[{\"type\":\"function.result\",\"tool_call_id\":\"t\",\"result\":\"1\"}],\"stream\":false}",
	  .type = "application/json",
	  .reply = "{\"outputs\":[{\"type\":\"message.output\",\"content\":\"Hi\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}",
	  .provider = "mistral", .kind = LLM_CHAT,
	  .tokens = { 3, 4, -1, -1 },
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_TOOL },
	{ .name = "Groq, streamed",
	  .path = "/openai/v1/chat/completions",
	  .host = "api.groq.com",
	  .request = "{\"model\":\"llama\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "text/event-stream",
	  .reply = "data: {\"model\":\"llama-1\",\"choices\":[{\"delta\":{\"content\":\"Hi\"}}],\"x_groq\":{\"id\":\"req_1\"}}\n\ndata: {\"model\":\"llama-1\",\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"x_groq\":{\"id\":\"req_1\",\"usage\":{\"queue_time\":0.1,\"prompt_tokens\":9,\"prompt_time\":0.01,\"completion_tokens\":2,\"completion_time\":0.1,\"total_tokens\":11,\"total_time\":0.2,\"prompt_tokens_details\":{\"cached_tokens\":1}}}}\n\ndata: [DONE]\n\n",
	  .provider = "groq", .kind = LLM_CHAT,
	  .model = "llama-1",
	  .streamed = true,
	  .tokens = { 9, 2, 1, -1 },
	  .finish = "stop",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Groq, stopped early",
	  .path = "/openai/v1/chat/completions",
	  .host = "api.groq.com",
	  .request = "{\"model\":\"llama\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "text/event-stream",
	  .reply = "data: {\"model\":\"llama-1\",\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: {\"choices\":[],\"x_groq\":{\"error\":\"something went wrong\"}}\n\n",
	  .provider = "groq", .kind = LLM_CHAT,
	  .model = "llama-1",
	  .streamed = true,
	  .tokens = { -1, -1, -1, -1 },
	  .metered = { -1, -1 },
	  .status = CALL_ERROR, .error = "stream_error",
	  .last_role = LLM_ROLE_USER },
	{ .name = "Cohere v2",
	  .path = "/v2/chat",
	  .host = "api.cohere.com",
	  .request = "{\"model\":\"command-r\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "application/json",
	  .reply = "{\"id\":\"c\",\"finish_reason\":\"COMPLETE\",\"message\":{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}]},\"usage\":{\"billed_units\":{\"input_tokens\":1.0,\"output_tokens\":2.0},\"tokens\":{\"input_tokens\":71.0,\"output_tokens\":9.0},\"cached_tokens\":16}}",
	  .provider = "cohere", .kind = LLM_CHAT,
	  .model = "command-r",
	  .tokens = { 71, 9, 16, -1 },
	  .finish = "complete",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Cohere v2, streamed",
	  .path = "/v2/chat",
	  .host = "api.cohere.com",
	  .request = "{\"model\":\"command-r\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "text/event-stream",
	  .reply = "event: message-start\ndata: {\"id\":\"m\",\"type\":\"message-start\",\"delta\":{\"message\":{\"role\":\"assistant\",\"content\":[]}}}\n\nevent: content-delta\ndata: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"Hi\"}}}}\n\nevent: message-end\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"MAX_TOKENS\",\"usage\":{\"tokens\":{\"input_tokens\":71,\"output_tokens\":9}}}}\n\n",
	  .provider = "cohere", .kind = LLM_CHAT,
	  .model = "command-r",
	  .streamed = true,
	  .tokens = { 71, 9, -1, -1 },
	  .finish = "max_tokens",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Cohere v1",
	  .path = "/v1/chat",
	  .host = "localhost:8080",
	  .request = "{\"message\":\"x\",\"model\":\"command-r\",\"chat_history\":[{\"role\":\"USER\",\"message\":\"a\"},{\"role\":\"CHATBOT\",\"message\":\"b\"}]}",
	  .type = "application/json",
	  .reply = "{\"text\":\"Hi\",\"generation_id\":\"g\",\"finish_reason\":\"COMPLETE\",\"meta\":{\"api_version\":{\"version\":\"1\"},\"billed_units\":{\"input_tokens\":1,\"output_tokens\":2},\"tokens\":{\"input_tokens\":71,\"output_tokens\":9}}}",
	  .provider = "cohere", .kind = LLM_CHAT,
	  .model = "command-r",
	  .tokens = { 71, 9, -1, -1 },
	  .finish = "complete",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Cohere v1, streamed as lines",
	  .path = "/v1/chat",
	  .host = "api.cohere.com",
	  .request = "{\"message\":\"x\",\"stream\":true}",
	  .type = "application/stream+json",
	  .reply = "{\"is_finished\":false,\"event_type\":\"stream-start\",\"generation_id\":\"g\"}\n{\"is_finished\":false,\"event_type\":\"text-generation\",\"text\":\"Hi\"}\n{\"is_finished\":true,\"event_type\":\"stream-end\",\"finish_reason\":\"COMPLETE\",\"response\":{\"text\":\"Hi\",\"meta\":{\"tokens\":{\"input_tokens\":71,\"output_tokens\":9}}}}\n",
	  .provider = "cohere", .kind = LLM_CHAT,
	  .streamed = true,
	  .tokens = { 71, 9, -1, -1 },
	  .finish = "complete",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Cohere embed",
	  .path = "/v2/embed",
	  .host = "api.cohere.com",
	  .request = "{\"model\":\"embed-v4\",\"texts\":[\"x\"]}",
	  .type = "application/json",
	  .reply = "{\"id\":\"e\",\"embeddings\":{\"float\":[[0.1,0.2]]},\"meta\":{\"api_version\":{\"version\":\"2\"},\"billed_units\":{\"input_tokens\":3}}}",
	  .provider = "cohere", .kind = LLM_EMBEDDING,
	  .model = "embed-v4",
	  .tokens = { 3, -1, -1, -1 },
	  .metered = { -1, -1 } },
	{ .name = "Cohere rerank",
	  .path = "/v2/rerank",
	  .host = "api.cohere.com",
	  .request = "{\"model\":\"rerank-v3\",\"query\":\"x\",\"documents\":[\"y\"]}",
	  .type = "application/json",
	  .reply = "{\"results\":[{\"index\":0,\"relevance_score\":0.9}],\"meta\":{\"billed_units\":{\"search_units\":1}}}",
	  .provider = "cohere", .kind = LLM_AUXILIARY,
	  .model = "rerank-v3",
	  .tokens = { -1, -1, -1, -1 },
	  .metered = { -1, -1 } },
	{ .name = "Ollama chat, streamed",
	  .path = "/api/chat",
	  .host = "localhost:11434",
	  .request = "{\"model\":\"llama3.2\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "application/x-ndjson",
	  .reply = "{\"model\":\"llama3.2\",\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"done\":false}\n{\"model\":\"llama3.2\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done_reason\":\"stop\",\"done\":true,\"total_duration\":4883583458,\"load_duration\":1334875,\"prompt_eval_count\":26,\"prompt_eval_duration\":342546000,\"eval_count\":282,\"eval_duration\":4535599000}\n",
	  .provider = "ollama", .kind = LLM_CHAT,
	  .model = "llama3.2",
	  .streamed = true,
	  .tokens = { 26, 282, -1, -1 },
	  .finish = "stop",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Ollama generate",
	  .path = "/api/generate",
	  .host = "localhost:11434",
	  .request = "{\"model\":\"llama3.2\",\"prompt\":\"x\",\"stream\":false}",
	  .type = "application/json",
	  .reply = "{\"model\":\"llama3.2\",\"response\":\"Hi\",\"done\":true,\"done_reason\":\"length\",\"prompt_eval_count\":26,\"eval_count\":2}",
	  .provider = "ollama", .kind = LLM_CHAT,
	  .model = "llama3.2",
	  .tokens = { 26, 2, -1, -1 },
	  .finish = "length",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Ollama embed",
	  .path = "/api/embed",
	  .host = "localhost:11434",
	  .request = "{\"model\":\"minilm\",\"input\":\"x\"}",
	  .type = "application/json",
	  .reply = "{\"model\":\"minilm\",\"embeddings\":[[0.01]],\"prompt_eval_count\":8}",
	  .provider = "ollama", .kind = LLM_EMBEDDING,
	  .model = "minilm",
	  .tokens = { 8, -1, -1, -1 },
	  .metered = { -1, -1 } },
	{ .name = "Ollama, an error among the lines",
	  .path = "/api/chat",
	  .host = "localhost:11434",
	  .request = "{\"model\":\"llama3.2\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "application/x-ndjson",
	  .reply = "{\"model\":\"llama3.2\",\"message\":{\"content\":\"Hi\"},\"done\":false}\n{\"error\":\"an error was encountered while running the model\"}\n",
	  .provider = "ollama", .kind = LLM_CHAT,
	  .model = "llama3.2",
	  .streamed = true,
	  .tokens = { -1, -1, -1, -1 },
	  .metered = { -1, -1 },
	  .status = CALL_ERROR, .error = "stream_error",
	  .last_role = LLM_ROLE_USER },
	{ .name = "vLLM with continuous usage",
	  .path = "/v1/chat/completions",
	  .host = "gpu:8000",
	  .request = "{\"model\":\"q\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "text/event-stream",
	  .reply = "data: {\"model\":\"q\",\"choices\":[{\"delta\":{\"content\":\"H\"}}],\"usage\":{\"prompt_tokens\":5,\"total_tokens\":6,\"completion_tokens\":1}}\n\ndata: {\"model\":\"q\",\"choices\":[{\"delta\":{\"content\":\"i\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":5,\"total_tokens\":7,\"completion_tokens\":2}}\n\ndata: {\"model\":\"q\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"total_tokens\":7,\"completion_tokens\":2,\"prompt_tokens_details\":null}}\n\ndata: [DONE]\n\n",
	  .provider = "openai", .kind = LLM_CHAT,
	  .model = "q",
	  .streamed = true,
	  .tokens = { 5, 2, -1, -1 },
	  .finish = "stop",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "llama.cpp, its own",
	  .path = "/completion",
	  .host = "localhost:8080",
	  .request = "{\"prompt\":\"x\",\"n_predict\":9}",
	  .type = "application/json",
	  .reply = "{\"index\":0,\"content\":\"Hi\",\"stop\":true,\"model\":\"/m.gguf\",\"tokens_predicted\":9,\"tokens_evaluated\":4,\"stop_type\":\"limit\",\"tokens_cached\":12,\"timings\":{\"cache_n\":3,\"prompt_n\":1,\"predicted_n\":9}}",
	  .provider = "openai", .kind = LLM_CHAT,
	  .model = "/m.gguf",
	  .tokens = { 4, 9, 3, -1 },
	  .finish = "limit",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "llama.cpp, its own, streamed",
	  .path = "/completion",
	  .host = "localhost:8080",
	  .request = "{\"prompt\":\"x\",\"stream\":true}",
	  .type = "text/event-stream",
	  .reply = "data: {\"index\":0,\"content\":\"Hi\",\"tokens\":[1],\"stop\":false,\"id_slot\":0,\"tokens_predicted\":1,\"tokens_evaluated\":4}\n\ndata: {\"index\":0,\"content\":\"\",\"tokens\":[],\"stop\":true,\"model\":\"m\",\"tokens_predicted\":2,\"tokens_evaluated\":4,\"stop_type\":\"eos\",\"tokens_cached\":5}\n\n",
	  .provider = "openai", .kind = LLM_CHAT,
	  .model = "m",
	  .streamed = true,
	  .tokens = { 4, 2, -1, -1 },
	  .finish = "eos",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "llama.cpp embedding",
	  .path = "/embedding",
	  .host = "localhost:8080",
	  .request = "{\"content\":\"x\"}",
	  .type = "application/json",
	  .reply = "[{\"index\":0,\"embedding\":[[0.1,0.2]]}]",
	  .provider = "openai", .kind = LLM_EMBEDDING,
	  .tokens = { -1, -1, -1, -1 },
	  .metered = { -1, -1 } },
	{ .name = "TGI generate",
	  .path = "/generate",
	  .host = "tgi:8080",
	  .request = "{\"inputs\":\"x\",\"parameters\":{\"details\":true}}",
	  .type = "application/json",
	  .reply = "{\"generated_text\":\"Hi\",\"details\":{\"finish_reason\":\"length\",\"generated_tokens\":20,\"seed\":null,\"prefill\":[],\"tokens\":[]}}",
	  .provider = "tgi", .kind = LLM_CHAT,
	  .tokens = { 7, 20, -1, -1 },
	  .finish = "length",
	  .metered = { 7, 20 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "TGI generate_stream",
	  .path = "/generate_stream",
	  .host = "tgi:8080",
	  .request = "{\"inputs\":\"x\"}",
	  .type = "text/event-stream",
	  .reply = "data:{\"index\":1,\"token\":{\"id\":1,\"text\":\"Hi\",\"logprob\":-0.1,\"special\":false},\"generated_text\":null,\"details\":null}\n\ndata:{\"index\":2,\"token\":{\"id\":2,\"text\":\"</s>\",\"special\":true},\"generated_text\":\"Hi\",\"details\":{\"finish_reason\":\"eos_token\",\"generated_tokens\":2,\"input_length\":5,\"seed\":null}}\n\n",
	  .provider = "tgi", .kind = LLM_CHAT,
	  .streamed = true,
	  .tokens = { 5, 2, -1, -1 },
	  .finish = "eos_token",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "TGI at the root",
	  .path = "/",
	  .host = "tgi:80",
	  .request = "{\"inputs\":\"x\",\"parameters\":{\"max_new_tokens\":2}}",
	  .type = "application/json",
	  .reply = "[{\"generated_text\":\"Hi\"}]",
	  .provider = "tgi", .kind = LLM_CHAT,
	  .tokens = { 7, 20, -1, -1 },
	  .metered = { 7, 20 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Bedrock converse",
	  .path = "/model/anthropic.claude-3%3A0/converse",
	  .host = "bedrock-runtime.us-east-1.amazonaws.com",
	  .request = "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}]}",
	  .type = "application/json",
	  .reply = "{\"metrics\":{\"latencyMs\":551},\"output\":{\"message\":{\"content\":[{\"text\":\"Hi\"}],\"role\":\"assistant\"}},\"stopReason\":\"end_turn\",\"usage\":{\"inputTokens\":30,\"outputTokens\":628,\"totalTokens\":658}}",
	  .provider = "bedrock", .kind = LLM_CHAT,
	  .model = "anthropic.claude-3:0",
	  .tokens = { 30, 628, -1, -1 },
	  .finish = "end_turn",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Bedrock converse-stream",
	  .path = "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fus.claude-4/converse-stream",
	  .host = "bedrock-runtime.us-east-1.amazonaws.com",
	  .request = "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"x\"}]}]}",
	  .type = "application/vnd.amazon.eventstream",
	  .reply = "messageStart {\"role\":\"assistant\"}\ncontentBlockDelta {\"contentBlockIndex\":0,\"delta\":{\"text\":\"Hi\"}}\nmessageStop {\"stopReason\":\"max_tokens\"}\nmetadata {\"metrics\":{\"latencyMs\":5},\"usage\":{\"inputTokens\":30,\"outputTokens\":62,\"totalTokens\":102,\"cacheReadInputTokens\":10,\"cacheWriteInputTokens\":0}}\n",
	  .form = FRAMES,
	  .provider = "bedrock", .kind = LLM_CHAT,
	  .model = "us.claude-4",
	  .streamed = true,
	  .tokens = { 40, 62, 10, -1 },
	  .finish = "max_tokens",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Bedrock invoke, Claude",
	  .path = "/model/anthropic.claude-3/invoke",
	  .host = "bedrock-runtime.us-east-1.amazonaws.com",
	  .request = "{\"anthropic_version\":\"bedrock-2023-05-31\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "application/json",
	  .reply = "{\"model\":\"claude-3-1\",\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":3,\"output_tokens\":4}}",
	  .provider = "bedrock", .kind = LLM_CHAT,
	  .model = "claude-3-1",
	  .tokens = { 3, 4, -1, -1 },
	  .finish = "end_turn",
	  .metered = { 3, 4 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Bedrock invoke, Mistral, counted by headers",
	  .path = "/model/mistral.m/invoke",
	  .host = "bedrock-runtime.us-east-1.amazonaws.com",
	  .request = "{\"prompt\":\"x\"}",
	  .type = "application/json",
	  .reply = "{\"outputs\":[{\"text\":\"Hi\",\"stop_reason\":\"stop\"}]}",
	  .provider = "bedrock", .kind = LLM_CHAT,
	  .model = "mistral.m",
	  .tokens = { 7, 20, -1, -1 },
	  .finish = "stop",
	  .metered = { 7, 20 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Bedrock invoke, Llama",
	  .path = "/model/meta.llama3/invoke",
	  .host = "bedrock-runtime.us-east-1.amazonaws.com",
	  .request = "{\"prompt\":\"x\"}",
	  .type = "application/json",
	  .reply = "{\"generation\":\"Hi\",\"prompt_token_count\":5,\"generation_token_count\":6,\"stop_reason\":\"length\"}",
	  .provider = "bedrock", .kind = LLM_CHAT,
	  .model = "meta.llama3",
	  .tokens = { 5, 6, -1, -1 },
	  .finish = "length",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Bedrock invoke, Titan",
	  .path = "/model/amazon.titan-text/invoke",
	  .host = "bedrock-runtime.us-east-1.amazonaws.com",
	  .request = "{\"inputText\":\"x\"}",
	  .type = "application/json",
	  .reply = "{\"inputTextTokenCount\":5,\"results\":[{\"tokenCount\":6,\"outputText\":\"Hi\",\"completionReason\":\"FINISH\"}]}",
	  .provider = "bedrock", .kind = LLM_CHAT,
	  .model = "amazon.titan-text",
	  .tokens = { 5, 6, -1, -1 },
	  .finish = "finish",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Bedrock invoke, Cohere",
	  .path = "/model/cohere.command-r-v1/invoke",
	  .host = "bedrock-runtime.us-east-1.amazonaws.com",
	  .request = "{\"message\":\"x\",\"chat_history\":[]}",
	  .type = "application/json",
	  .reply = "{\"text\":\"Hi\",\"finish_reason\":\"COMPLETE\"}",
	  .provider = "bedrock", .kind = LLM_CHAT,
	  .model = "cohere.command-r-v1",
	  .tokens = { -1, -1, -1, -1 },
	  .finish = "complete",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Bedrock invoke, embeddings",
	  .path = "/model/amazon.titan-embed-text-v2%3A0/invoke",
	  .host = "bedrock-runtime.us-east-1.amazonaws.com",
	  .request = "{\"inputText\":\"x\"}",
	  .type = "application/json",
	  .reply = "{\"embedding\":[0.1,0.2],\"inputTextTokenCount\":5}",
	  .provider = "bedrock", .kind = LLM_EMBEDDING,
	  .model = "amazon.titan-embed-text-v2:0",
	  .tokens = { 5, -1, -1, -1 },
	  .metered = { -1, -1 } },
	{ .name = "Bedrock invoke-with-response-stream",
	  .path = "/model/anthropic.claude-3/invoke-with-response-stream",
	  .host = "bedrock-runtime.us-east-1.amazonaws.com",
	  .request = "{\"anthropic_version\":\"bedrock-2023-05-31\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "application/vnd.amazon.eventstream",
	  .reply = "chunk {\"type\":\"message_start\",\"message\":{\"model\":\"claude-3-1\",\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":5,\"output_tokens\":1}}}\nchunk {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\nchunk {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":42}}\nchunk {\"type\":\"message_stop\",\"amazon-bedrock-invocationMetrics\":{\"inputTokenCount\":10,\"outputTokenCount\":42,\"invocationLatency\":9,\"firstByteLatency\":3}}\n",
	  .form = CHUNKS,
	  .provider = "bedrock", .kind = LLM_CHAT,
	  .model = "claude-3-1",
	  .streamed = true,
	  .tokens = { 15, 42, 5, -1 },
	  .finish = "end_turn",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Bedrock invoke-with-response-stream, metrics alone",
	  .path = "/model/mistral.m/invoke-with-response-stream",
	  .host = "bedrock-runtime.us-east-1.amazonaws.com",
	  .request = "{\"prompt\":\"x\"}",
	  .type = "application/vnd.amazon.eventstream",
	  .reply = "chunk {\"outputs\":[{\"text\":\"Hi\",\"stop_reason\":null}]}\nchunk {\"outputs\":[{\"text\":\"\",\"stop_reason\":\"length\"}],\"amazon-bedrock-invocationMetrics\":{\"inputTokenCount\":10,\"outputTokenCount\":42}}\n",
	  .form = CHUNKS,
	  .provider = "bedrock", .kind = LLM_CHAT,
	  .model = "mistral.m",
	  .streamed = true,
	  .tokens = { 10, 42, -1, -1 },
	  .finish = "length",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Bedrock, an exception",
	  .path = "/model/mistral.m/converse-stream",
	  .host = "bedrock-runtime.us-east-1.amazonaws.com",
	  .request = "{\"messages\":[]}",
	  .type = "application/vnd.amazon.eventstream",
	  .reply = "modelTimeoutException {\"message\":\"x\"}\n",
	  .form = EXCEPTION,
	  .provider = "bedrock", .kind = LLM_CHAT,
	  .model = "mistral.m",
	  .streamed = true,
	  .tokens = { -1, -1, -1, -1 },
	  .metered = { -1, -1 },
	  .status = CALL_ERROR, .error = "modeltimeoutexception" },
	{ .name = "OpenRouter, streamed",
	  .path = "/api/v1/chat/completions",
	  .host = "openrouter.ai",
	  .request = "{\"model\":\"a/b\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "text/event-stream",
	  .reply = ": OPENROUTER PROCESSING\n\ndata: {\"model\":\"a/b\",\"choices\":[{\"delta\":{\"reasoning\":\"h\"}}]}\n\ndata: {\"model\":\"a/b\",\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"stop\"}]}\n\ndata: {\"model\":\"a/b\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":20,\"total_tokens\":29,\"cost\":0.001,\"prompt_tokens_details\":{\"cached_tokens\":0,\"cache_write_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":18}}}\n\ndata: [DONE]\n\n",
	  .provider = "openrouter", .kind = LLM_CHAT,
	  .model = "a/b",
	  .streamed = true,
	  .tokens = { 9, 20, 0, 18 },
	  .finish = "stop",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "OpenRouter, an error in the stream",
	  .path = "/api/v1/chat/completions",
	  .host = "openrouter.ai",
	  .request = "{\"model\":\"a/b\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "text/event-stream",
	  .reply = "data: {\"model\":\"a/b\",\"choices\":[{\"delta\":{\"content\":\"H\"}}]}\n\ndata: {\"error\":{\"code\":502,\"message\":\"x\"},\"choices\":[{\"delta\":{\"content\":\"\"},\"finish_reason\":\"error\"}]}\n\n",
	  .provider = "openrouter", .kind = LLM_CHAT,
	  .model = "a/b",
	  .streamed = true,
	  .tokens = { -1, -1, -1, -1 },
	  .finish = "error",
	  .metered = { -1, -1 },
	  .status = CALL_ERROR, .error = "http_502",
	  .last_role = LLM_ROLE_USER },
	{ .name = "DeepSeek, blank lines before the body",
	  .path = "/chat/completions",
	  .host = "api.deepseek.com",
	  .request = "{\"model\":\"deepseek-chat\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "application/json",
	  .reply = "\n\n\n{\"model\":\"deepseek-chat\",\"choices\":[{\"message\":{\"content\":\"Hi\"},\"finish_reason\":\"insufficient_system_resource\"}],\"usage\":{\"prompt_tokens\":16,\"completion_tokens\":10,\"total_tokens\":26,\"prompt_cache_hit_tokens\":12,\"prompt_cache_miss_tokens\":4,\"completion_tokens_details\":{\"reasoning_tokens\":2}}}",
	  .provider = "deepseek", .kind = LLM_CHAT,
	  .model = "deepseek-chat",
	  .tokens = { 16, 10, 12, 2 },
	  .finish = "insufficient_system_resource",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "DeepSeek, streamed with comments",
	  .path = "/beta/chat/completions",
	  .host = "api.deepseek.com",
	  .request = "{\"model\":\"deepseek-r1\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "text/event-stream",
	  .reply = ": keep-alive\n\n: keep-alive\n\ndata: {\"model\":\"deepseek-r1\",\"choices\":[{\"delta\":{\"reasoning_content\":\"h\"}}]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":16,\"completion_tokens\":10,\"total_tokens\":26}}\n\ndata: [DONE]\n\n",
	  .provider = "deepseek", .kind = LLM_CHAT,
	  .model = "deepseek-r1",
	  .streamed = true,
	  .tokens = { 16, 10, -1, -1 },
	  .finish = "stop",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "xAI, reasoning outside",
	  .path = "/v1/chat/completions",
	  .host = "api.x.ai",
	  .request = "{\"model\":\"grok\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "application/json",
	  .reply = "{\"model\":\"grok-4\",\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":32,\"completion_tokens\":9,\"total_tokens\":135,\"prompt_tokens_details\":{\"cached_tokens\":6},\"completion_tokens_details\":{\"reasoning_tokens\":94}}}",
	  .provider = "xai", .kind = LLM_CHAT,
	  .model = "grok-4",
	  .tokens = { 32, 103, 6, 94 },
	  .finish = "stop",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "Together",
	  .path = "/v1/chat/completions",
	  .host = "api.together.xyz",
	  .request = "{\"model\":\"q\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "application/json",
	  .reply = "{\"model\":\"q\",\"choices\":[{\"finish_reason\":\"eos\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}",
	  .provider = "together", .kind = LLM_CHAT,
	  .model = "q",
	  .tokens = { 3, 4, -1, -1 },
	  .finish = "eos",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	{ .name = "LiteLLM",
	  .path = "/chat/completions",
	  .host = "localhost:4000",
	  .request = "{\"model\":\"q\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
	  .type = "application/json",
	  .reply = "{\"model\":\"q\",\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4,\"total_tokens\":7}}",
	  .provider = "openai", .kind = LLM_CHAT,
	  .model = "q",
	  .tokens = { 3, 4, -1, -1 },
	  .finish = "stop",
	  .metered = { -1, -1 },
	  .last_role = LLM_ROLE_USER },
	/* clang-format on */
};

struct body {
	char p[8192];
	size_t n;
};

static void put(struct body *b, const void *p, size_t n)
{
	if (n > sizeof(b->p) - b->n)
		abort();
	memcpy(b->p + b->n, p, n);
	b->n += n;
}

static void put_u32(struct body *b, size_t v)
{
	uint8_t p[] = { (uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v };

	put(b, p, sizeof(p));
}

static void put_header(struct body *b, const char *name, struct bytes value)
{
	uint8_t n = (uint8_t)strlen(name), type[] = { 7, 0, (uint8_t)value.n };

	put(b, &n, 1);
	put(b, name, n);
	put(b, type, sizeof(type));
	put(b, value.p, value.n);
}

static void put_base64(struct body *b, struct bytes in)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < in.n; i += 3) {
		uint32_t v = 0;
		char four[4];

		for (size_t k = 0; k < 3; k++)
			v = v << 8 | (i + k < in.n ? (uint8_t)in.p[i + k] : 0);
		for (size_t k = 0; k < 4; k++)
			four[k] = k > in.n - i ? '=' : digits[v >> (18 - 6 * k) & 63];
		put(b, four, 4);
	}
}

static void put_frame(struct body *b, enum form form, struct bytes type, struct bytes payload)
{
	struct body headers = { .n = 0 }, data = { .n = 0 };

	put_header(&headers, form == EXCEPTION ? ":exception-type" : ":event-type", type);
	put_header(&headers, ":content-type", bytes_of("application/json"));
	put_header(&headers, ":message-type", bytes_of(form == EXCEPTION ? "exception" : "event"));
	if (form == CHUNKS) {
		put(&data, "{\"bytes\":\"", 10);
		put_base64(&data, payload);
		put(&data, "\",\"p\":\"abc\"}", 12);
	} else {
		put(&data, payload.p, payload.n);
	}
	put_u32(b, 16 + headers.n + data.n);
	put_u32(b, headers.n);
	put_u32(b, 0);
	put(b, headers.p, headers.n);
	put(b, data.p, data.n);
	put_u32(b, 0);
}

static void make_reply(const struct row *r, struct body *b)
{
	struct bytes rest = bytes_of(r->reply);

	b->n = 0;
	if (r->form == BODY)
		put(b, rest.p, rest.n);
	while (r->form != BODY && rest.n) {
		struct bytes line = bytes_to(&rest, '\n'), type = bytes_to(&line, ' ');

		put_frame(b, r->form, type, line);
	}
}

static struct call *call;
static struct llm *llm;

static void end(void)
{
	llm_free(llm);
	call_free(call);
	llm = NULL;
	call = NULL;
}

static void feed(void (*to)(struct llm *, struct bytes), struct bytes b, size_t from, size_t n,
                 size_t step)
{
	for (size_t i = from; i < n; i += step) {
		size_t k = n - i < step ? n - i : step;
		char *p = guarded(b.p + i, k);

		to(llm, (struct bytes){ p, k });
		guarded_free(p, k);
	}
}

static void reply_bytes(struct llm *l, struct bytes b)
{
	llm_response_body(l, b, 5);
}

/* Up to the reply's head; false: no LLM's. */
static bool begin(const struct row *r, size_t split, size_t step)
{
	size_t n = strlen(r->request);

	end();
	call = call_new();
	llm = llm_new(call, bytes_of("POST"), bytes_of(r->path), bytes_of(r->host));
	if (!llm)
		return false;
	split = split < n ? split : n;
	feed(llm_request_body, bytes_of(r->request), 0, split, step);
	feed(llm_request_body, bytes_of(r->request), split, n, step);
	if (!llm_request_end(llm))
		return false;
	call->status = CALL_OK;
	llm_response_head(llm, 200, bytes_of(r->type));
	llm_response_metered(llm, r->metered[0], r->metered[1]);
	return true;
}

static bool run(const struct row *r, const struct body *b, size_t split, size_t step)
{
	if (!begin(r, split, step))
		return false;
	split = split < b->n ? split : b->n;
	feed(reply_bytes, (struct bytes){ b->p, b->n }, 0, split, step);
	feed(reply_bytes, (struct bytes){ b->p, b->n }, split, b->n, step);
	llm_response_end(llm, true);
	return true;
}

static bool text_is(const char *is, const char *want)
{
	return strcmp(is, want ? want : "") == 0;
}

static bool matches(const struct row *r)
{
	const struct llm_call *l = call->llm;

	return memcmp(&l->tokens, &r->tokens, sizeof(r->tokens)) == 0 && l->kind == r->kind &&
	       text_is(l->provider, r->provider) && text_is(l->model, r->model) &&
	       text_is(l->said.finish_reason, r->finish) && l->streamed == r->streamed &&
	       l->last_role == r->last_role && call->status == r->status &&
	       text_is(call->error_kind, r->error) &&
	       (l->first_content_ns != 0) == (r->form != EXCEPTION);
}

static void show(const struct row *r, size_t at)
{
	const struct llm_call *l = call ? call->llm : NULL;

	printf("# %s at %zu: ", r->name, at);
	if (!l)
		printf("no LLM call\n");
	else
		printf("kind %d %s %s streamed %d in %ld out %ld cached %ld reasoning %ld '%s' "
		       "role %d "
		       "status %s '%s' content %d\n",
		       (int)l->kind, l->provider, l->model, l->streamed, (long)l->tokens.in,
		       (long)l->tokens.out, (long)l->tokens.cached, (long)l->tokens.reasoning,
		       l->said.finish_reason, (int)l->last_role, call_status_name(call->status),
		       call->error_kind, l->first_content_ns != 0);
}

static bool read_anyhow(const struct row *r, const struct body *b)
{
	size_t n = strlen(r->request) > b->n ? strlen(r->request) : b->n;

	for (size_t split = 0; split <= n + 1; split++) {
		/* the last one: byte by byte */
		if (run(r, b, split <= n ? split : 0, split <= n ? sizeof(b->p) : 1) && matches(r))
			continue;
		show(r, split);
		return false;
	}
	return true;
}

static bool right_or_unknown(int64_t is, int64_t want)
{
	return is == want || is == -1;
}

/* Lost bytes, and a connection that breaks off. */
static bool never_wrong(const struct row *r, const struct body *b)
{
	static const size_t lengths[] = { 1, 3, 17, 120, SIZE_MAX };

	for (size_t at = 0; at < b->n * (sizeof(lengths) / sizeof(*lengths)); at++) {
		size_t from = at % b->n, lost = lengths[at / b->n];
		bool cut = lost == SIZE_MAX;
		const struct llm_tokens *t;

		lost = lost < b->n - from ? lost : b->n - from;
		if (!begin(r, 0, sizeof(b->p)))
			return false;
		feed(reply_bytes, (struct bytes){ b->p, b->n }, 0, from, sizeof(b->p));
		if (!cut)
			llm_response_gap(llm, lost);
		if (!cut)
			feed(reply_bytes, (struct bytes){ b->p, b->n }, from + lost, b->n,
			     sizeof(b->p));
		llm_response_end(llm, !cut);
		t = &call->llm->tokens;
		if (right_or_unknown(t->in, r->tokens.in) &&
		    right_or_unknown(t->out, r->tokens.out) &&
		    right_or_unknown(t->cached, r->tokens.cached) &&
		    right_or_unknown(t->reasoning, r->tokens.reasoning))
			continue;
		printf("# %zu lost ", lost);
		show(r, from);
		return false;
	}
	return true;
}

int main(void)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct body b;

		make_reply(&rows[i], &b);
		printf("# %s: read at every split\n", rows[i].name);
		CHECK(read_anyhow(&rows[i], &b));
		printf("# %s: with bytes lost, right or unknown\n", rows[i].name);
		CHECK(never_wrong(&rows[i], &b));
	}
	end();
	return DONE();
}
