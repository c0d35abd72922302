-- The messages of the API as data: field -> type. "[]T" repeats, "{}T" maps names to T, "Struct" is any object, "Value"
-- anything. A field that is not here is unknown to the service.

return {
  GenerateContentRequest = {
    model = "string", contents = "[]Content", systemInstruction = "Content", safetySettings = "[]SafetySetting",
    tools = "[]Tool", toolConfig = "ToolConfig", generationConfig = "GenerationConfig", cachedContent = "string",
    serviceTier = "enum", store = "bool",
  },
  CountTokensRequest = {
    model = "string", contents = "[]Content", generateContentRequest = "GenerateContentRequest",
  },
  EmbedContentRequest = {
    model = "string", content = "Content", taskType = "enum", title = "string", outputDimensionality = "int32",
    embedContentConfig = "Struct",
  },
  BatchEmbedContentsRequest = { model = "string", requests = "[]EmbedContentRequest" },
  CachedContent = {
    name = "string", model = "string", contents = "[]Content", systemInstruction = "Content", tools = "[]Tool",
    toolConfig = "ToolConfig", ttl = "duration", expireTime = "string", displayName = "string",
  },
  FileSearchStore = { name = "string", displayName = "string", embeddingModel = "string" },
  ImportFileRequest = { fileName = "string", customMetadata = "[]CustomMetadata", chunkingConfig = "ChunkingConfig" },
  UploadToFileSearchStoreRequest = { displayName = "string", mimeType = "string", customMetadata = "[]CustomMetadata",
    chunkingConfig = "ChunkingConfig" },
  CustomMetadata = { key = "string", stringValue = "string", numericValue = "float", stringListValue = "StringList" },
  StringList = { values = "[]string" },
  ChunkingConfig = { whiteSpaceConfig = "WhiteSpaceConfig" },
  WhiteSpaceConfig = { maxTokensPerChunk = "int32", maxOverlapTokens = "int32" },
  AuthToken = { name = "string", uses = "int32", expireTime = "string", newSessionExpireTime = "string",
    bidiGenerateContentSetup = "LiveSetup", fieldMask = "string" },
  LiveSetup = { model = "string", generationConfig = "Struct", systemInstruction = "Content", tools = "[]Tool",
    realtimeInputConfig = "Struct", sessionResumption = "Struct", contextWindowCompression = "Struct",
    inputAudioTranscription = "Struct", outputAudioTranscription = "Struct", proactivity = "Struct",
    historyConfig = "Struct", avatarConfig = "Struct", safetySettings = "[]SafetySetting" },
  BatchRequest = { batch = "Batch" },
  Batch = { displayName = "string", inputConfig = "InputConfig", webhookConfig = "Struct", priority = "int64" },
  InputConfig = { requests = "InlinedRequests", fileName = "string" },
  InlinedRequests = { requests = "[]InlinedRequest" },
  InlinedRequest = { request = "Value", metadata = "Struct" }, -- each is checked by itself
  CreateFileRequest = { file = "File" },
  File = {
    name = "string", displayName = "string", mimeType = "string", sizeBytes = "int64", createTime = "string",
    updateTime = "string", expirationTime = "string", sha256Hash = "bytes", uri = "string", downloadUri = "string",
    state = "enum", source = "enum", error = "Struct", videoMetadata = "Struct",
  },

  Content = { role = "string", parts = "[]Part" },
  Part = {
    text = "string", inlineData = "Blob", fileData = "FileData", functionCall = "FunctionCall",
    functionResponse = "FunctionResponse", executableCode = "ExecutableCode",
    codeExecutionResult = "CodeExecutionResult", toolCall = "Struct", toolResponse = "Struct",
    thought = "bool", thoughtSignature = "bytes", videoMetadata = "VideoMetadata", mediaResolution = "PartResolution",
    partMetadata = "Struct", audioTranscription = "Struct",
  },
  Blob = { mimeType = "string", data = "bytes" },
  FileData = { mimeType = "string", fileUri = "string" },
  FunctionCall = { id = "string", name = "string", args = "Struct" },
  FunctionResponse = {
    id = "string", name = "string", response = "Struct", parts = "[]FunctionResponsePart", willContinue = "bool",
    scheduling = "enum",
  },
  FunctionResponsePart = { inlineData = "Blob" },
  ExecutableCode = { id = "string", language = "enum", code = "string" },
  CodeExecutionResult = { id = "string", outcome = "enum", output = "string" },
  VideoMetadata = { startOffset = "duration", endOffset = "duration", fps = "float" },
  PartResolution = { level = "enum", numTokens = "int32" },

  SafetySetting = { category = "enum", threshold = "enum" },
  GenerationConfig = {
    temperature = "float", topP = "float", topK = "float", candidateCount = "int32", maxOutputTokens = "int32",
    stopSequences = "[]string", seed = "int32", presencePenalty = "float", frequencyPenalty = "float",
    responseLogprobs = "bool", logprobs = "int32", responseMimeType = "string", responseSchema = "Schema",
    responseJsonSchema = "Value", ["_responseJsonSchema"] = "Value", responseFormat = "Struct",
    responseModalities = "[]enum", mediaResolution = "enum",
    speechConfig = "SpeechConfig", thinkingConfig = "ThinkingConfig", imageConfig = "ImageConfig",
    audioTranscriptionConfig = "Struct", enableEnhancedCivicAnswers = "bool", translationConfig = "Struct",
  },
  ThinkingConfig = { includeThoughts = "bool", thinkingBudget = "int32", thinkingLevel = "enum" },
  ImageConfig = { aspectRatio = "string", imageSize = "string" },
  SpeechConfig = {
    languageCode = "string", voiceConfig = "VoiceConfig", multiSpeakerVoiceConfig = "MultiSpeakerVoiceConfig",
  },
  VoiceConfig = { prebuiltVoiceConfig = "PrebuiltVoiceConfig", replicatedVoiceConfig = "Struct" },
  PrebuiltVoiceConfig = { voiceName = "string" },
  MultiSpeakerVoiceConfig = { speakerVoiceConfigs = "[]SpeakerVoiceConfig" },
  SpeakerVoiceConfig = { speaker = "string", voiceConfig = "VoiceConfig" },

  Tool = {
    functionDeclarations = "[]FunctionDeclaration", googleSearch = "Struct", googleSearchRetrieval = "Struct",
    codeExecution = "Struct", urlContext = "Struct", fileSearch = "Struct", computerUse = "Struct",
    googleMaps = "Struct", mcpServers = "[]Struct",
  },
  FunctionDeclaration = {
    name = "string", description = "string", parameters = "Schema", parametersJsonSchema = "Value",
    response = "Schema", responseJsonSchema = "Value", behavior = "enum",
  },
  ToolConfig = {
    functionCallingConfig = "FunctionCallingConfig", retrievalConfig = "RetrievalConfig",
    includeServerSideToolInvocations = "bool",
  },
  FunctionCallingConfig = { mode = "enum", allowedFunctionNames = "[]string" },
  RetrievalConfig = { latLng = "LatLng", languageCode = "string" },
  LatLng = { latitude = "float", longitude = "float" },
  Schema = {
    type = "enum", format = "string", title = "string", description = "string", nullable = "bool",
    enum = "[]string", items = "Schema", minItems = "int64", maxItems = "int64", properties = "{}Schema",
    required = "[]string", minProperties = "int64", maxProperties = "int64", minimum = "float", maximum = "float",
    minLength = "int64", maxLength = "int64", pattern = "string", example = "Value", anyOf = "[]Schema",
    propertyOrdering = "[]string", default = "Value",
  },
}
