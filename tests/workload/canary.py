# SPDX-License-Identifier: BSD-2-Clause
"""Words planted where payloads are. Tests search every output for them; each tells where a leak came from.

They are planted by a flag, not by value, so that the target's own command line does not hold them (but for the key
that is given as an argument on purpose).
"""

WORDS = {
    "prompt": "whystuckCanaryPrompt",
    "reply": "whystuckCanaryReply",
    "tool": "whystuckCanaryTool",
    "header_key": "whystuckCanaryHeaderKey",
    "query": "whystuckCanaryQueryArg",
    "redis_key": "whystuckCanaryRedisKey",
    "redis_value": "whystuckCanaryRedisValue",
    "sql_text": "whystuckCanarySqlText",
    "sql_param": "whystuckCanarySqlParam",
    "argument": "whystuckCanaryArgumentKey",    # given to the target as --api-key
    "environment": "whystuckCanaryEnvironment",  # given to the target as OPENAI_API_KEY
}
COMMON = "whystuckCanary"


def found(data: bytes):
    """Names of the canaries in data, whatever their case."""
    low = data.lower()
    return [name for name, word in WORDS.items() if word.lower().encode() in low]
