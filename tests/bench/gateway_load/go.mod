module llmservice.io/bench/gateway-load

go 1.25
