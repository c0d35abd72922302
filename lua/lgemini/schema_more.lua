--- The types of the API that not every program meets, as schema.lua reads them; see there for the notation. It loads
--- with the first of these.

-- What a config of embedContent sets.
local EMBEDDING = [[task_type title output_dimensionality:integer !mime_type !auto_truncate:boolean
  !document_ocr:boolean !audio_track_extraction:boolean]]

-- What a config of generateVideos says of the instance; all else of it are parameters.
local IN_INSTANCE = "last_frame:Image reference_images:[VideoReferenceImage]"

-- What a config of generateImages says of the files; all else of it are parameters.
local OUTPUT_OPTIONS = "output_mime_type=mimeType output_compression_quality=compressionQuality:integer"

-- How long a cache lives: one of the two.
local LIFE = "ttl expire_time"

-- What is said of a document on its way into a file search store.
local IN_STORE = "custom_metadata:[CustomMetadata] chunking_config:ChunkingConfig"

-- What the setup of a Live session says beside generationConfig, and in it.
local IN_LIVE_SETUP = [[system_instruction:Content tools:[Tool] realtime_input_config:open
  session_resumption:open context_window_compression:open input_audio_transcription:open
  output_audio_transcription:open proactivity:open history_config:open avatar_config:open
  safety_settings:[SafetySetting] ]]
local IN_LIVE_GENERATION = [[response_modalities:[string] temperature:number top_p:number top_k:number
  max_output_tokens:integer seed:integer media_resolution speech_config:SpeechConfig
  thinking_config:ThinkingConfig enable_affective_dialog:boolean translation_config:open]]

return {
  -- tokens and embeddings ----------------------------------------------------------------------
  CountTokensRequest = "contents:[Content] generate_content_request:GenerateContentRequest",
  CountTokensConfig = [[system_instruction:Content tools:[Tool] tool_config:ToolConfig cached_content
    generation_config:GenerationConfig]],
  CountTokensResponse = [[total_tokens:integer cached_content_token_count:integer
    prompt_tokens_details:[ModalityTokenCount] cache_tokens_details:[ModalityTokenCount] ]],
  BatchEmbedContentsRequest = "requests:[EmbedContentRequest]",
  EmbedContentRequest = "model content:Content " .. EMBEDDING,
  EmbedContentConfig = EMBEDDING,
  EmbedContentResponse = "embeddings:[ContentEmbedding] usage_metadata:UsageMetadata",
  ContentEmbedding = "values:[number]",
  PredictedEmbeddings = "predictions:[PredictedEmbedding]",
  PredictedEmbedding = "embeddings:ContentEmbedding",

  -- models -------------------------------------------------------------------------------------
  Model = [[name base_model_id version display_name description input_token_limit:integer
    output_token_limit:integer supported_actions=supportedGenerationMethods:[string] temperature:number
    max_temperature:number top_p:number top_k:integer thinking:boolean base_model state create_time
    update_time]],
  ListModelsResponse = "models:[Model] next_page_token",
  ListTunedModelsResponse = "tuned_models:[Model] next_page_token",
  UpdateModelConfig = "display_name description",

  -- lists (query_base = false asks for tuned models)
  ListConfig = "page_size:integer page_token",
  ListModelsConfig = "page_size:integer page_token filter query_base:boolean",

  -- images and videos that are made -------------------------------------------------------------
  Image = "image_bytes=bytesBase64Encoded:bytes mime_type !gcs_uri",
  Video = "uri video_bytes=encodedVideo:bytes mime_type=encoding",
  GenerateVideosInstance = "prompt image:Image video:Video " .. IN_INSTANCE,
  GenerateVideosConfig = IN_INSTANCE .. [[ number_of_videos=sampleCount:integer duration_seconds:integer
    aspect_ratio resolution person_generation negative_prompt enhance_prompt:boolean
    ^webhook_config:WebhookConfig !output_gcs_uri !fps:integer !seed:integer !pubsub_topic
    !generate_audio:boolean !mask:VideoGenerationMask !compression_quality !labels:any !resize_mode]],
  VideoReferenceImage = "image:Image reference_type",
  VideoGenerationMask = "image:Image mask_mode",
  WebhookConfig = "uris:[string] user_metadata:struct",
  GenerateVideosResponse = [[generated_videos=generatedSamples:[GeneratedVideo]
    rai_media_filtered_count:integer rai_media_filtered_reasons:[string] ]],
  GeneratedVideo = "video:Video",
  GenerateImagesInstance = "prompt",
  GenerateImagesConfig = OUTPUT_OPTIONS .. [[ number_of_images=sampleCount:integer aspect_ratio
    image_size=sampleImageSize person_generation safety_filter_level=safetySetting guidance_scale:number
    language include_safety_attributes:boolean include_rai_reason:boolean !output_gcs_uri
    !negative_prompt !seed:integer !add_watermark:boolean !labels:any !enhance_prompt:boolean]],
  ImageOutputOptions = OUTPUT_OPTIONS,
  GenerateImagesResponse = "generated_images=predictions:[GeneratedImage]",
  GeneratedImage = [[image_bytes=bytesBase64Encoded:bytes mime_type gcs_uri rai_filtered_reason content_type
    safety_attributes:SafetyAttributes]],
  SafetyAttributes = "categories:[string] scores:[number]",

  -- a chat that was saved ----------------------------------------------------------------------
  SavedChat = "format model config:struct history:any",
  SavedHistory = "history:[SavedTurn]",
  SavedTurn = "content:Content good:boolean",

  -- files, status, operations ------------------------------------------------------------------
  File = [[name display_name mime_type size_bytes:int64 create_time update_time expiration_time
    sha256_hash uri download_uri state source error:Status video_metadata:FileVideoMetadata]],
  FileVideoMetadata = "video_duration",
  UploadFileConfig = "name display_name mime_type",
  FileEnvelope = "file:File",
  ListFilesResponse = "files:[File] next_page_token",
  Status = "code:integer message details:any",
  RegisterFilesRequest = "uris:[string]",
  RegisterFilesResponse = "files:[File]",
  Operation = "name metadata:any done:boolean error:Status response:OperationResponse",
  OperationResponse = [[generate_video_response:GenerateVideosResponse videos:[VertexVideo]
    rai_media_filtered_count:integer rai_media_filtered_reasons:[string] parent document_name]],
  VertexVideo = "uri=gcsUri video_bytes=bytesBase64Encoded:bytes mime_type",

  -- caches -------------------------------------------------------------------------------------
  CachedContent = [[name model display_name create_time update_time expire_time
    usage_metadata:UsageMetadata]],
  CreateCachedContentConfig = LIFE .. [[ contents:[Content] system_instruction:Content tools:[Tool]
    tool_config:ToolConfig display_name !kms_key_name]],
  UpdateCachedContentConfig = LIFE,
  ListCachedContentsResponse = "cached_contents:[CachedContent] next_page_token",

  -- batches ------------------------------------------------------------------------------------
  CreateBatchConfig = "display_name webhook_config:WebhookConfig priority:int64 !dest:any",
  BatchMetadata = "metadata:struct",
  BatchOperation = "name metadata:BatchJob done:boolean error:Status response:BatchOutput",
  BatchJob = [[name model display_name state create_time update_time end_time batch_stats:BatchStats
    output:BatchOutput input_config:BatchInputConfig priority:int64 webhook_config:WebhookConfig]],
  BatchStats = [[request_count:int64 successful_request_count:int64 failed_request_count:int64
    pending_request_count:int64]],
  BatchInputConfig = "file_name requests:any",
  BatchOutput = [[responses_file inlined_responses:InlinedResponses
    inlined_embed_content_responses:InlinedEmbedContentResponses]],
  InlinedResponses = "inlined_responses:[InlinedResponse]",
  InlinedResponse = "response:GenerateContentResponse error:Status metadata:struct",
  InlinedEmbedContentResponses = "inlined_responses:[InlinedEmbedContentResponse]",
  InlinedEmbedContentResponse = "response:SingleEmbedContentResponse error:Status metadata:struct",
  BatchLine = "key metadata:any error:Status response:GenerateContentResponse",
  BatchEmbeddingLine = "key metadata:any error:Status response:SingleEmbedContentResponse",
  SingleEmbedContentResponse = "embedding:ContentEmbedding usage_metadata:UsageMetadata",
  ListBatchesResponse = "operations:[BatchOperation] next_page_token",

  -- batches of Vertex AI, which read and write the cloud
  BatchPredictionJob = [[name model display_name state create_time start_time update_time end_time error:Status
    input_config:BatchPredictionInput output_config:BatchPredictionOutput output_info:any completion_stats:any]],
  BatchPredictionInput = "instances_format gcs_source:GcsSource bigquery_source:BigQuerySource",
  BatchPredictionOutput = [[predictions_format gcs_destination:GcsDestination
    bigquery_destination:BigQueryDestination]],
  GcsSource = "uris:[string]",
  BigQuerySource = "input_uri",
  GcsDestination = "output_uri_prefix",
  BigQueryDestination = "output_uri",
  ListBatchPredictionJobsResponse = "batch_prediction_jobs:[BatchPredictionJob] next_page_token",

  -- file search stores -------------------------------------------------------------------------
  FileSearchStore = [[name display_name create_time update_time active_documents_count:int64
    pending_documents_count:int64 failed_documents_count:int64 size_bytes:int64 embedding_model]],
  CreateFileSearchStoreConfig = "display_name embedding_model",
  DeleteConfig = "force:boolean",
  ListFileSearchStoresResponse = "file_search_stores:[FileSearchStore] next_page_token",
  UploadToFileSearchStoreConfig = "display_name mime_type " .. IN_STORE,
  ImportFileConfig = IN_STORE,
  ImportFileRequest = "file_name " .. IN_STORE,
  ChunkingConfig = "white_space_config:WhiteSpaceConfig",
  WhiteSpaceConfig = "max_tokens_per_chunk:integer max_overlap_tokens:integer",
  Document = [[name display_name state size_bytes:int64 mime_type create_time update_time
    custom_metadata:[CustomMetadata] ]],
  ListDocumentsResponse = "documents:[Document] next_page_token",

  -- tunings ------------------------------------------------------------------------------------
  TuneRequest = "display_name base_model tuning_task:TuningTask",
  TuneConfig = [[tuned_model_display_name epoch_count:integer batch_size:integer
    learning_rate_multiplier:number]],
  TuningTask = "hyperparameters:Hyperparameters training_data:TuningData",
  Hyperparameters = "epoch_count:integer batch_size:integer learning_rate_multiplier:number",
  TuningData = "examples:TuningExamples",
  TuningExamples = "examples:[TuningExample]",
  TuningExample = "text_input output",
  TunedModel = "name display_name description base_model state create_time update_time tuning_task:any",
  TuneOperation = "name metadata:TuneMetadata done:boolean error:Status",
  TuneMetadata = "tuned_model total_steps:integer completed_steps:integer completed_percent:number",
  ListTuningJobsResponse = "tuned_models:[TunedModel] next_page_token",

  -- tokens for browsers ------------------------------------------------------------------------
  AuthToken = "name",
  CreateAuthTokenConfig = [[uses:integer expire_time new_session_expire_time
    live_connect_constraints:LiveConnectConstraints lock_additional_fields:[string] ]],
  LiveConnectConstraints = "model config:LiveConnectConfig",
  LiveConnectConfig = IN_LIVE_SETUP .. " " .. IN_LIVE_GENERATION,
  LiveSetup = "model generation_config:LiveGenerationConfig " .. IN_LIVE_SETUP,
  LiveGenerationConfig = IN_LIVE_GENERATION,

  -- interactions; what stands within input, tools and formats is sent as it is ------------------
  CreateInteractionRequest = [[~model agent input:any stream:boolean store:boolean background:boolean
    previous_interaction_id system_instruction:any tools:[any] generation_config:InteractionGenerationConfig
    response_format:any safety_settings:[any] service_tier labels:struct webhook_config:any environment:any]],
  InteractionGenerationConfig = [[~temperature:number top_p:number seed:integer stop_sequences:[string]
    max_output_tokens:integer thinking_level thinking_summaries:any tool_choice:any speech_config:any
    image_config:any]],
  GetInteractionQuery = "~stream:boolean last_event_id include_input:boolean",
}
